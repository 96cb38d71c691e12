//! The parent, with children that are shell scripts and misbehave.

use super::{ChildFallback, Launch, Limits};
use std::path::Path;
use std::time::{Duration, Instant};
use tarn_formats::{ChunkFile, Fallback, FallbackError};

/// What a child says first: its library is version 1.1.
const READY: &str = r"printf 'R\3\0\0\0\0\0\0\0' >&0; printf 1.1 >&0; ";

fn fallback(script: &str) -> ChildFallback {
    let launch = Launch { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let limits = Limits {
        children: 1,
        wait: Duration::from_millis(300),
        start: Duration::from_secs(20),
        seconds: 1,
    };
    ChildFallback::new(launch, limits)
}

fn chunk(file: &str) -> ChunkFile<'_> {
    ChunkFile { file, filters: &[480], image: vec![1; 10], size: 4 }
}

/// Children of this process that ended and were not waited for.
fn zombies() -> usize {
    let own = format!(" {} ", std::process::id());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stats =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(&format!(" Z{own}")))
        })
        .count()
}

#[test]
fn children_that_end_hang_or_talk_nonsense_are_errors_and_leave_nothing_behind() {
    let died = |status: &str| FallbackError::Died { status: status.to_owned() };
    let nonsense =
        FallbackError::Broken { problem: "gave an answer that makes no sense".to_owned() };
    let no_library = FallbackError::NoLibrary { problem: "no".to_owned() };
    for (script, expected) in [
        ("exit 3".to_owned(), died("exit status: 3")),
        ("kill -9 $$".to_owned(), died("signal: 9 (SIGKILL)")),
        (r"printf 'L\2\0\0\0\0\0\0\0no' >&0".to_owned(), no_library),
        (r"printf 'R\0\0\0\0\0\0\0\1' >&0; exec /bin/sleep 1000".to_owned(), nonsense.clone()),
        (
            "printf HTTP/1.1 >&0; exec /bin/sleep 1000".to_owned(),
            FallbackError::TooSlow { seconds: 1 },
        ),
        (format!("{READY} exit 4"), died("exit status: 4")),
        (format!("{READY} kill -11 $$"), died("signal: 11 (SIGSEGV)")),
        (format!("{READY} kill -24 $$"), FallbackError::TooSlow { seconds: 3 }),
        (format!("{READY} exec /bin/sleep 1000"), FallbackError::TooSlow { seconds: 3 }),
        // Five bytes where four were asked for, and no frame at all.
        (
            format!(
                r"{READY} printf 'B\5\0\0\0\0\0\0\0' >&0; printf 12345 >&0; exec /bin/sleep 1000"
            ),
            nonsense.clone(),
        ),
        (
            format!(
                r"{READY} printf 'B\377\377\377\377\377\377\377\377' >&0; exec /bin/sleep 1000"
            ),
            nonsense,
        ),
    ] {
        let mut fallback = fallback(&script);
        if script.starts_with("printf HTTP") {
            fallback.shorten(Duration::from_secs(1));
        }
        let began = Instant::now();
        assert_eq!(fallback.read(&chunk("a")).unwrap_err(), expected, "{script}");
        assert!(began.elapsed() < Duration::from_secs(60), "{script}");
    }
    let until = Instant::now() + Duration::from_secs(10);
    while zombies() > 0 {
        assert!(Instant::now() < until, "{} zombies", zombies());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_child_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let number = folder.path().join("number");
    let fallback = fallback(&format!("/bin/sleep 1000 & echo $! > {}; exit 3", number.display()));
    assert!(matches!(
        fallback.read(&chunk("a")),
        Err(FallbackError::Died { .. } | FallbackError::Broken { .. })
    ));
    let number = std::fs::read_to_string(number).unwrap();
    let stat = format!("/proc/{}/stat", number.trim());
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "it lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let launch = Launch { program: "/nowhere/tarn".into(), arguments: vec![] };
    let fallback = ChildFallback::new(launch, Limits::default());
    let error = fallback.check(480).unwrap_err();
    assert!(
        matches!(&error, FallbackError::Broken { problem } if problem.contains("start")),
        "{error}"
    );
}

#[test]
fn a_child_answers_again_for_its_own_file_and_another_is_started_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("starts");
    // Two answers, whatever is asked.
    let answers = r"printf 'B\4\0\0\0\0\0\0\0abcd' >&0; ".repeat(2);
    let script = format!("echo >> {}; {READY} {answers} exec /bin/sleep 1000", log.display());
    let fallback = fallback(&script);
    let starts = |log: &Path| std::fs::read_to_string(log).unwrap().len();
    assert_eq!(fallback.read(&chunk("a")).unwrap(), b"abcd");
    assert_eq!(fallback.read(&chunk("a")).unwrap(), b"abcd");
    assert_eq!(starts(&log), 1);
    assert_eq!(fallback.read(&chunk("b")).unwrap(), b"abcd");
    assert_eq!(starts(&log), 2);
    // The same file behind other filters: their plugins are loaded before a chunk is seen.
    assert_eq!(fallback.read(&ChunkFile { filters: &[481], ..chunk("b") }).unwrap(), b"abcd");
    assert_eq!(starts(&log), 3);
}

#[test]
fn a_child_that_dies_between_two_chunks_is_replaced_and_one_that_dies_of_its_first_is_not() {
    // What is asked is 38 bytes long.
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("starts");
    let script = format!(
        r"echo >> {}; {READY} head -c 38 > /dev/null; printf 'B\4\0\0\0\0\0\0\0abcd' >&0; exit 1",
        log.display()
    );
    let fallback = fallback(&script);
    for _ in 0..3 {
        assert_eq!(fallback.read(&chunk("a")).unwrap(), b"abcd");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap().len(), 3);
}

#[test]
fn who_waits_too_long_for_a_child_is_told() {
    let fallback = fallback(&format!("{READY} exec /bin/sleep 1000"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fallback.read(&chunk("a")));
        std::thread::sleep(Duration::from_secs(1));
        let error = fallback.read(&chunk("b")).unwrap_err();
        assert_eq!(error, FallbackError::Busy { seconds: 0 });
        assert_eq!(first.join().unwrap(), Err(FallbackError::TooSlow { seconds: 3 }));
    });
}

#[test]
fn what_is_known_of_a_filter_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("starts");
    for (answer, expected) in
        [("Y", Ok(())), ("N", Err(FallbackError::NoPlugin { version: "1.1".to_owned() }))]
    {
        let script = format!(
            r"echo >> {}; {READY} printf '{answer}\0\0\0\0\0\0\0\0' >&0; exec /bin/sleep 1000",
            log.display()
        );
        let fallback = fallback(&script);
        for _ in 0..3 {
            assert_eq!(fallback.check(480), expected);
        }
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap().len(), 2);
}
