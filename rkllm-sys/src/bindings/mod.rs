//! What bindgen makes of `include/`; see `examples/bindings.rs`.

macro_rules! generated {
    ($name:ident) => {
        #[allow(missing_docs, reason = "what the facts say nothing about has only its name")]
        #[allow(
            non_camel_case_types,
            non_snake_case,
            non_upper_case_globals,
            reason = "the vendor's names"
        )]
        #[allow(
            clippy::undocumented_unsafe_blocks,
            reason = "zeroed plain data; bindgen writes it"
        )]
        #[allow(
            rustdoc::broken_intra_doc_links,
            reason = "the headers' comments give shapes as C does, [tokens][size]"
        )]
        pub(crate) mod $name;
    };
}

generated!(rknn);
generated!(v1_2);
generated!(v1_3);
