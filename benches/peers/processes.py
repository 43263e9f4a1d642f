"""The processes that the comparison starts, all of them: a plan (plan.py) takes this one's place."""

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Missing(SystemExit):
    """A tool this machine lacks, with what to install."""

    def __init__(self, what, install):
        super().__init__(f"compare.py: {what}\n  install: {install}")


def failed(command, code, shown):
    end = "\n".join(shown.splitlines()[-15:])
    return SystemExit(f"compare.py: {' '.join(command)}\nfailed ({code}):\n{end}")


class Processes:
    """Runs commands, which must work."""

    def say(self, text):
        print(time.strftime("%H:%M:%S "), text, sep="", file=sys.stderr, flush=True)

    def output(self, command, environment):
        """What it prints."""
        done = subprocess.run(command, text=True, errors="replace", capture_output=True, env=environment)
        if done.returncode != 0:
            raise failed(command, done.returncode, done.stderr)
        return done.stdout

    def tried(self, command):
        """(exit status, what it prints): it may fail."""
        done = subprocess.run(command, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def logged(self, command, log):
        """What it prints goes to `log`, whose end is shown if it fails."""
        with open(log, "w") as file:
            file.write(" ".join(command) + "\n")
            file.flush()
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
        if code != 0:
            raise failed(command, code, Path(log).read_text(errors="replace"))

    def seconds(self, command, environment):
        """Of the whole process."""
        start = time.perf_counter()
        self.output(command, environment)
        return time.perf_counter() - start

    def watched(self, command, environment):
        """What it prints, and the largest RssAnon seen, looked at twenty times a second."""
        peak = 0
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, stdout=out, env=environment)
            while process.poll() is None:
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    break
                sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
                peak = max([peak, *(1024 * size for size in sizes)])
                time.sleep(0.05)
            if process.wait() != 0:
                raise failed(command, process.returncode, "")
            out.seek(0)
            # A system that does not say passes no bar.
            return out.read(), peak or math.nan


current = Processes()


def say(text):
    current.say(text)


def words(command):
    return [str(part) for part in command]


def run(command, log=None, env=None):
    """What the command prints; with `log` it goes there."""
    if log is None:
        return current.output(words(command), env or os.environ)
    return current.logged(words(command), log)


def tried(command):
    return current.tried(words(command))


def seconds(command, env=None):
    return current.seconds(words(command), env or os.environ)


def watched(command, env=None):
    return current.watched(words(command), env or os.environ)
