//! Generates meta commands with random flags, most of them valid.

use crate::answers::Versions;
use crate::chance::Chance;
use crate::script::{Command, delta, exptime, key, number, number_key, pick, small, value, version};

pub(crate) fn command(chance: &mut Chance, versions: &Versions) -> Command {
    match chance.below(100) {
        0..35 => get(chance),
        35..65 => set(chance, versions),
        65..78 => delete(chance, versions),
        78..92 => count(chance, versions),
        92..95 => debug(chance),
        _ => mistaken(chance),
    }
}

/// Returns a key, and whether it is sent in base64. The two kinds of keys are disjoint, because memcached stores how
/// the key of a value was sent.
fn meta_key(chance: &mut Chance) -> (Vec<u8>, bool) {
    if chance.percent(25) {
        let keys: [&[u8]; 4] = [b"AAEC", b"a2V5IHdpdGggc3BhY2U=", b"Zm9vYmE=", b"/////w=="];
        (pick(chance, &keys).to_vec(), true)
    } else {
        (key(chance), false)
    }
}

/// Flags in a random order.
struct Flags {
    words: Vec<Command>,
    /// Whether the key is in base64. memcached loses that for pairs that it creates or appends to.
    is_base64: bool,
    /// Whether an opaque may be too long: not if memcached detects that only after a part of the command.
    may_be_too_long: bool,
}

impl Flags {
    fn new() -> Flags {
        Flags { words: Vec::new(), is_base64: false, may_be_too_long: false }
    }

    fn add(&mut self, word: impl AsRef<[u8]>) {
        let mut command = Command::default();
        command.push(word);
        self.words.push(command);
    }

    fn add_version(&mut self, version: (u64, u64)) {
        let mut command = Command::default();
        command.push("C");
        command.version(version);
        self.words.push(command);
    }

    fn add_each(&mut self, chance: &mut Chance, percent: u64, letters: &[&str]) {
        for letter in letters {
            if chance.percent(percent) {
                self.add(letter);
            }
        }
    }

    /// Flags that every command accepts.
    fn add_common(&mut self, chance: &mut Chance) {
        self.add_each(chance, 25, &["k", "q"]);
        if chance.percent(25) {
            let len = if self.may_be_too_long && chance.percent(3) { 40 } else { chance.below(32) };
            self.add([&b"O"[..], &vec![b'o'; len as usize]].concat());
        }
        if chance.percent(4) {
            self.add("Ppath");
        }
        if chance.percent(4) {
            self.add("L");
        }
        if chance.percent(2) {
            self.add(pick(
                chance,
                &["j", "q", "k", "=", "\x7f", "M", "Mxx", "D", "Ta", "Nx", "Cx", "F-1", "Fa", "Jx", "Dx"],
            ));
        }
    }

    fn write(mut self, chance: &mut Chance, command: &mut Command) {
        for at in (1..self.words.len()).rev() {
            let other = chance.below(at as u64 + 1) as usize;
            self.words.swap(at, other);
        }
        // A statement about a lifetime refers to the lifetime that the command sets.
        self.words.sort_by_key(|word| (word.ours[0] != b'T', reports_lifetime(word)));
        for word in self.words {
            command.push(" ");
            command.theirs.extend_from_slice(&word.theirs);
            command.ours.extend_from_slice(&word.ours);
        }
    }
}

fn reports_lifetime(word: &Command) -> bool {
    word.ours == b"t"
}

fn begin(verb: &str, chance: &mut Chance, flags: &mut Flags) -> Command {
    let mut command = Command::default();
    let (key, is_base64) = meta_key(chance);
    command.push(verb);
    command.word(key);
    if is_base64 {
        flags.add("b");
        flags.is_base64 = true;
    }
    flags.may_be_too_long = matches!(verb, "ms" | "md");
    command
}

fn get(chance: &mut Chance) -> Command {
    let mut flags = Flags::new();
    let mut command = begin("mg", chance, &mut flags);
    flags.add_each(chance, 30, &["v", "t", "s", "c", "f", "h", "l"]);
    flags.add_each(chance, 8, &["u"]);
    match chance.below(12) {
        0 => flags.add(format!("T{}", lasting(chance))),
        // The remaining life of an expired pair is reported as another number.
        1 if !flags.words.iter().any(reports_lifetime) => flags.add(format!("T{}", exptime(chance))),
        2 | 3 if !flags.is_base64 => flags.add(format!("N{}", lasting(chance))),
        _ => {}
    }
    if chance.percent(15) {
        flags.add(format!("R{}", chance.below(200_000)));
    }
    flags.add_common(chance);
    if flags.is_base64 {
        flags.words.retain(|word| word.ours != b"k");
    }
    flags.write(chance, &mut command);
    command.push("\r\n");
    command
}

/// Returns an expiration time that does not pass during the test.
fn lasting(chance: &mut Chance) -> i64 {
    if chance.percent(30) { 0 } else { 1_000 + chance.below(100_000) as i64 }
}

fn set(chance: &mut Chance, versions: &Versions) -> Command {
    let mut flags = Flags::new();
    let mut command = begin("ms", chance, &mut flags);
    let is_too_large = chance.percent(2);
    let mut value = if is_too_large { vec![b'L'; 2 << 20] } else { value(chance) };
    let is_number = chance.percent(15);
    if is_number {
        flags = Flags::new();
        command = Command::default();
        command.push("ms ");
        command.push(number_key(chance));
        value = number(chance);
    }
    command.word(value.len().to_string());
    flags.add_each(chance, 30, &["c"]);
    if !is_number {
        flags.add_each(chance, 10, &["I"]);
    }
    if chance.percent(40) {
        flags.add(format!("T{}", exptime(chance)));
    }
    if chance.percent(40) {
        flags.add(format!("F{}", chance.next_u64() as u32));
    }
    // If a value is too large, memcached deletes the old one, whatever the condition was.
    if chance.percent(30) && !is_too_large {
        flags.add_version(version(chance, versions));
    }
    if chance.percent(40) && !is_number && !is_too_large {
        let mode = if chance.percent(3) { "MX" } else { pick(chance, &["MS", "ME", "MA", "MP", "MR"]) };
        flags.add(mode);
    }
    flags.add_common(chance);
    // sharedanced may take a word without a flag for the length.
    flags.words.retain(|word| word.ours[0].is_ascii_alphabetic());
    flags.write(chance, &mut command);
    command.push("\r\n");
    command.push(&value);
    if chance.percent(98) {
        command.push("\r\n");
    } else {
        command.push("xy");
        command.end_ours();
    }
    command
}

fn delete(chance: &mut Chance, versions: &Versions) -> Command {
    let mut flags = Flags::new();
    let mut command = begin("md", chance, &mut flags);
    if chance.percent(10) {
        flags = Flags::new();
        command = Command::default();
        command.push("md ");
        command.push(number_key(chance));
    } else if chance.percent(50) {
        flags.add("I");
        if chance.percent(40) {
            flags.add(format!("T{}", exptime(chance)));
        }
    }
    if chance.percent(25) {
        flags.add_version(version(chance, versions));
    }
    flags.add_common(chance);
    flags.write(chance, &mut command);
    command.push("\r\n");
    command
}

fn count(chance: &mut Chance, versions: &Versions) -> Command {
    let mut flags = Flags::new();
    let mut command = begin("ma", chance, &mut flags);
    if chance.percent(80) {
        flags = Flags::new();
        command = Command::default();
        command.push("ma ");
        command.push(number_key(chance));
    }
    flags.add_each(chance, 30, &["v", "t", "c"]);
    if chance.percent(40) && !flags.is_base64 {
        flags.add(format!("N{}", lasting(chance)));
    }
    if chance.percent(30) {
        flags.add(format!("J{}", small(chance)));
    }
    if chance.percent(40) {
        flags.add(format!("D{}", delta(chance)));
    }
    // Without `T`: if the number becomes longer, memcached applies the new lifetime to the replaced value.
    if chance.percent(40) {
        let mode = if chance.percent(5) { "MX" } else { pick(chance, &["MI", "MD", "M+", "M-"]) };
        flags.add(mode);
    }
    if chance.percent(15) {
        flags.add_version(version(chance, versions));
    }
    flags.add_common(chance);
    if flags.words.iter().any(|word| word.ours[0] == b'N') {
        // 1.6.18 responds if a number was created, quiet or not.
        flags.words.retain(|word| word.ours != b"q");
    }
    flags.write(chance, &mut command);
    command.push("\r\n");
    command.is_alone = true;
    command
}

fn debug(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    command.push("me");
    command.word(key(chance));
    command.push("\r\n");
    command
}

fn mistaken(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    match chance.below(4) {
        0 => {
            command.push(pick(chance, &["mg", "md", "ma", "me"]));
            command.word([b'K'; 251]);
        }
        1 => {
            // More flags than any command accepts.
            command.push(pick(chance, &["mg key1", "md key1", "ma key1"]));
            (0..17 + chance.below(6)).for_each(|n| command.word([b'a' + n as u8]));
        }
        _ => command.push(pick(
            chance,
            &[
                "mg",
                "ms",
                "md",
                "ma",
                "me",
                "ms key1",
                "ms key1 a",
                "ms key1 -1",
                "ms key1 S1",
                "mg key1 v v",
                "mg key1 \x7f",
                "mg key1 !",
                "md key1 q q",
                "ma key1 z",
                "mg not-base64 b",
                "md not-base64 b",
                "ma not-base64 b",
                "me not-base64 b",
                "mg AAEC b v",
                "ma key1 MX",
                "mg key1 Ooooooooooooooooooooooooooooooooooooooooooo",
                "ma key1 Mxx",
            ],
        )),
    }
    if command.ours.starts_with(b"ms") {
        command.end_ours();
    }
    command.push("\r\n");
    command
}
