//! Programs in C, C++ and Python, written and built as programs for the board are.

mod common;

use common::{BOTH, Board, Speaks, said, tutor_nano};

/// The lines of a conversation that both ABIs must agree on.
fn conversation(speaks: Speaks, source: &str) -> String {
    let board = Board::new(speaks);
    let program = board.program(source);
    let text = said(&board.command(program).arg(tutor_nano()).output().unwrap());
    assert!(text.ends_with("done\n"), "{text}");
    text
}

#[test]
fn a_program_in_cxx_and_one_in_c_hold_the_same_conversation() {
    let newer = conversation(Speaks::V1_3, "conversation_1_3.cpp");
    let older = conversation(Speaks::V1_2, "conversation_1_2.c");
    assert_eq!(newer, older);
    assert!(newer.lines().count() >= 3, "{newer}");
}

#[test]
fn a_client_in_python_with_one_thread_and_with_eight() {
    let board = Board::new(Speaks::V1_3);
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/client.py");
    let output = board.python(client).arg(tutor_nano()).output().unwrap();
    assert!(said(&output).ends_with("done\n"));
}

/// A loader reads the version before it loads, and finds which stand-in it is.
#[test]
fn the_file_says_what_it_is() {
    for speaks in BOTH {
        let board = Board::new(speaks);
        let file = rkllm_sys::LibraryFile::open(&board.library()).unwrap();
        let (version, functions) = match speaks {
            Speaks::V1_2 => ("1.2.3", rkllm_sys::v1_2::Functions::REQUIRED),
            Speaks::V1_3 => ("1.3.0", rkllm_sys::v1_3::Functions::REQUIRED),
        };
        assert_eq!(file.rkllm.unwrap().to_string(), version);
        for name in functions {
            assert!(file.functions.contains(*name), "{name}");
        }
        assert!(file.stand_in);
        // Whoever changes the version does not make it Rockchip's.
        let mut bytes = std::fs::read(board.library()).unwrap();
        let text = b"RKLLM SDK (version: ";
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        bytes[at + 25..at + 159].fill(0);
        let changed = board.dir().join("changed.so");
        std::fs::write(&changed, bytes).unwrap();
        let file = rkllm_sys::LibraryFile::open(&changed).unwrap();
        assert_eq!(file.rkllm.unwrap().to_string(), version);
        assert!(file.stand_in);
    }
}

/// The vendor's demo destroys its handle in a signal handler, in the midst of its own run.
#[test]
fn a_handler_that_interrupts_a_run_ends_the_program_at_once() {
    let board = Board::new(Speaks::V1_3);
    let mut command = board.command(board.program("interrupted_1_3.c"));
    command.arg(tutor_nano()).env("RKLLM_HOST_FAULT", "slow-tokens:300");
    let begun = std::time::Instant::now();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    // rkllm_destroy would wait 20 s for the run that waits for it.
    assert!(begun.elapsed().as_secs() < 18, "{:?}", begun.elapsed());
}

#[test]
fn a_forked_child_uses_and_destroys_its_parents_handle() {
    let board = Board::new(Speaks::V1_3);
    let mut command = board.command(board.program("interrupted_1_3.c"));
    said(&command.arg(tutor_nano()).arg("fork").output().unwrap());
}

/// Build scripts that name the file itself must not write its path into the program.
#[test]
fn a_program_linked_against_the_file_finds_it_elsewhere() {
    for speaks in BOTH {
        let board = Board::new(speaks);
        let dynamic = std::process::Command::new("readelf").arg("-d").arg(board.library()).output();
        let Ok(dynamic) = dynamic else {
            println!("skipped: readelf not found");
            return;
        };
        let text = said(&dynamic);
        assert!(text.contains("soname: [librkllmrt.so]"), "{text}");
        assert!(text.contains("NODELETE"), "{text}");
    }
}
