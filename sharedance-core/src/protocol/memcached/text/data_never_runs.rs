//! A property of the decoder: bytes that a client sends as data are never decoded as commands, whatever is wrong with
//! the line before them, and however the bytes arrive.

use proptest::prelude::*;
use proptest::sample::select;

use crate::protocol::memcached::cutting::assert_the_same_however_it_is_cut;
use crate::protocol::{DecodeError, Limits};

/// If the line is correct, this is decoded after the block.
const NEXT_COMMAND: &[u8] = b"get next\r\n";

/// A storage command, and the data that the client sends with it.
#[derive(Debug)]
struct Sent {
    line: String,
    block: Vec<u8>,
    end_of_block: &'static str,
}

/// The mistake in the number of words.
#[derive(Debug, Clone)]
enum Misplaced {
    Nothing,
    Missing(usize),
    Additional(usize, String),
}

/// A data block of commands.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let command = select(vec![
        "delete canary\r\n",
        "delete canary\n",
        "flush_all\r\n",
        "set canary 0 0 1\r\nx\r\n",
        "ms canary 1\r\nx\r\n",
        "md canary\r\n",
        "get canary\r\n",
        "x",
        "\r\n",
        "quit\r\n",
    ]);
    prop::collection::vec(command, 0..6).prop_map(|commands| commands.concat().into_bytes())
}

/// Mostly `right`, sometimes one of `wrong`.
fn word(right: impl Into<String>, wrong: Vec<String>) -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(right.into()), 1 => select(wrong)]
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn key() -> impl Strategy<Value = String> {
    word("17", vec!["k".repeat(250), "k".repeat(251), "k".repeat(1500), "k".repeat(3000), "k\tk".to_owned()])
}

/// The announced length of a block.
fn length(block: &[u8]) -> impl Strategy<Value = String> + use<> {
    let len = block.len();
    let mut wrong =
        strings(&["-1", "a", "1x", "2147483646", "2147483647", "99999999999999999999", "100000", "noreply"]);
    wrong.push(format!("+{len}"));
    wrong.extend((1..=8).map(|more| (len + more).to_string()));
    // A shorter length can be detected only if the block does not contain a line end there.
    let is_told = |shorter: &usize| !block[*shorter..].starts_with(b"\r\n");
    wrong.extend((0..len).filter(is_told).map(|shorter| shorter.to_string()));
    word(len.to_string(), wrong)
}

fn classic_words(block: &[u8]) -> impl Strategy<Value = Vec<String>> + use<> {
    let verb = select(strings(&["set", "add", "replace", "append", "prepend", "cas"]));
    let numbers = strings(&["a", "-", "-1", "0x1", "4294967296", "99999999999999999999", "1.5"]);
    let words = (verb, key(), word("0", numbers.clone()), word("0", numbers.clone()), length(block));
    (words, word("1", numbers), any::<bool>()).prop_map(|((verb, key, flags, exptime, len), version, noreply)| {
        let is_cas = verb == "cas";
        let mut words = vec![verb, key, flags, exptime, len];
        words.extend(is_cas.then_some(version));
        words.extend(noreply.then(|| "noreply".to_owned()));
        words
    })
}

fn meta_words(block: &[u8]) -> impl Strategy<Value = Vec<String>> + use<> {
    let right = ["c", "q", "k", "I", "T60", "F1", "C1", "ME", "MA", "MS", "Oabc", "Ppath"];
    let wrong = ["T", "Ta", "F-1", "Fa", "Cx", "M", "Mxx", "MX", "!", "j", "b", "\x7f", "Dx", "Nx", "D1"];
    let flag = prop_oneof![4 => select(strings(&right)), 1 => select(strings(&wrong)), 1 => "O[a-z]{28,40}"];
    let flags = prop_oneof![4 => prop::collection::vec(flag.clone(), 0..5), 1 => prop::collection::vec(flag, 15..22)];
    (key(), length(block), flags).prop_map(|(key, len, flags)| [vec!["ms".to_owned(), key, len], flags].concat())
}

fn misplaced() -> impl Strategy<Value = Misplaced> {
    let additional = select(strings(&["x", "7", "17", "0", "-1", "noreply"]));
    prop_oneof![
        6 => Just(Misplaced::Nothing),
        1 => (1_usize..8).prop_map(Misplaced::Missing),
        1 => (1_usize..8, additional).prop_map(|(at, word)| Misplaced::Additional(at, word)),
    ]
}

/// With a missing or an additional word, the length is correct: otherwise one mistake could hide the other.
fn sent() -> impl Strategy<Value = Sent> {
    let words = block().prop_flat_map(|block| {
        let words = prop_oneof![classic_words(&block), meta_words(&block)];
        (Just(block), words, misplaced())
    });
    // The line end of a wrong end is behind every length that is announced: otherwise the end could belong to the block.
    let wrong_ends = vec!["xy", "surplus bytes\r\n", "\n\n"];
    let ends = (select(vec!["\r\n", "\n"]), prop_oneof![6 => Just("\r\n"), 1 => select(wrong_ends)]);
    (words, ends).prop_map(|((block, mut words, misplaced), (end_of_line, end_of_block))| {
        let len_at = if words[0] == "ms" { 2 } else { 4 };
        if !matches!(misplaced, Misplaced::Nothing) {
            words[len_at] = block.len().to_string();
        }
        match misplaced {
            Misplaced::Missing(at) if at < words.len() => drop(words.remove(at)),
            Misplaced::Additional(at, word) if at <= words.len() => words.insert(at, word),
            _ => {}
        }
        Sent { line: words.join(" ") + end_of_line, block, end_of_block }
    })
}

fn check(sent: &Sent, limits: &Limits) {
    let bytes = [sent.line.as_bytes(), &sent.block, sent.end_of_block.as_bytes(), NEXT_COMMAND].concat();
    let heard = assert_the_same_however_it_is_cut(false, &bytes, limits);
    let block = sent.block.escape_ascii().to_string();
    let mut requests = heard.requests.iter().map(String::as_str).peekable();
    let is_stored = |request: &str| request.starts_with("Update ") || request.starts_with("Meta(Set");
    let is_answer = |request: &str| ["Refused(", "Fatal(", "TooLarge "].iter().any(|start| request.starts_with(start));
    // At most one response; none if the client wants none, or if more bytes are expected.
    let mut is_over = false;
    if let Some(request) = requests.next_if(|request| is_stored(request) || is_answer(request)) {
        assert!(!is_stored(request) || request.ends_with(&format!(" {block}")), "{request} is not what was sent");
        is_over = request.starts_with("Fatal(");
    }
    let rest: Vec<&str> = requests.collect();
    assert!(
        rest.is_empty() || !is_over && rest == ["get next None false", "end"],
        "data was executed: {:?}",
        heard.requests
    );
    let is_expected = matches!(heard.error, None | Some(DecodeError::LineTooLong { .. } | DecodeError::BlockEnd));
    assert!(is_expected, "{:?}", heard.error);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn data_of_a_storage_command_never_runs(sent in sent(), is_limited: bool) {
        let max_request_len = if is_limited { 100 } else { 1 << 20 };
        check(&sent, &Limits { max_request_len });
    }
}
