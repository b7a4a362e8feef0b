//! Single frames and fragmented messages, valid and invalid (RFC 6455 §5, §7.4).

mod common;

use chat_ws::Config;
use common::*;

/// Sends `input` at once, in pieces of three bytes, and byte by byte. The frames of the server must
/// be `expected` each time.
async fn check(name: &str, input: &[u8], expected: &[Frame]) {
    for piece_len in [usize::MAX, 3, 1] {
        let mut expected = expected.to_vec();
        let mut input = input.to_vec();
        if !expected.iter().any(|(first, _)| *first == CLOSE) {
            input.extend(close(1000, "bye"));
            expected.push((CLOSE, close_payload(1000, "bye")));
        }
        let mut got = responses(Config::default(), &input, piece_len).await;
        // Where the server gives a reason of its own, only the code matters.
        for (first, payload) in &mut got {
            if *first == CLOSE && !payload.ends_with(b"bye") {
                payload.truncate(2);
            }
        }
        assert_eq!(got, expected, "{name}, in pieces of {piece_len}");
    }
}

fn failed(code: u16) -> Frame {
    (CLOSE, code.to_be_bytes().to_vec())
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_length_are_echoed() {
    for len in [
        0, 1, 125, 126, 127, 128, 1023, 1024, 1025, 16_383, 16_384, 65_535, 65_536,
    ] {
        let payload = vec![b'*'; len];
        for opcode in [TEXT, BINARY] {
            let input = frame(opcode, &payload);
            let piece_len = if len > 2000 { 997 } else { 7 };
            let mut input = [input.clone(), input].concat();
            input.extend(close(1000, ""));
            let got = responses(Config::default(), &input, piece_len).await;
            let message = (opcode, payload.clone());
            assert_eq!(got, [message.clone(), message, failed(1000)], "{len}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_with_their_payload() {
    for payload in [
        &b""[..],
        b"Hello, world!",
        &[0, 0xff, 0xfe, 0xfd],
        &[0xfe; 125],
    ] {
        check("ping", &frame(PING, payload), &[(PONG, payload.to_vec())]).await;
    }
    let (mut pings, mut pongs) = (Vec::new(), Vec::new());
    for n in 0..10 {
        pings.extend(frame(PING, &[n]));
        pongs.push((PONG, vec![n]));
    }
    check("ten pings", &pings, &pongs).await;
    let unsolicited = [frame(PONG, b"unsolicited"), frame(PING, b"a")].concat();
    check("pong, then ping", &unsolicited, &[(PONG, b"a".to_vec())]).await;
}

#[tokio::test(start_paused = true)]
async fn of_many_pings_at_once_the_first_and_the_last_are_answered() {
    let mut input = Vec::new();
    for n in 0..50u8 {
        input.extend(frame(PING, &[n]));
    }
    input.extend(close(1000, ""));
    let got = responses(Config::default(), &input, usize::MAX).await;
    let pongs: Vec<_> = got
        .iter()
        .filter(|(first, _)| *first == PONG)
        .map(|got| got.1[0])
        .collect();
    let first: Vec<_> = (0..16).collect();
    assert_eq!(pongs[..16], first);
    assert_eq!(pongs[16..], [49]);
}

#[tokio::test(start_paused = true)]
async fn invalid_headers_fail_the_connection() {
    let unmasked = |first: u8| vec![first, 2, b'h', b'i'];
    let long_form = [&[TEXT, 0x80 | 126, 0, 5, 1, 2, 3, 4][..], b"xxxxx"].concat();
    let longer_form = [
        &[TEXT, 0x80 | 127, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4][..],
        &[0; 256],
    ];
    let mut negative = vec![BINARY, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1];
    negative.extend([1, 2, 3, 4, 5]);
    for (name, input) in [
        ("unmasked text", unmasked(TEXT)),
        ("unmasked ping", unmasked(PING)),
        ("unmasked close", vec![CLOSE, 2, 3, 232]),
        ("RSV1", frame(TEXT | 0x40, b"x")),
        ("RSV2", frame(BINARY | 0x20, b"x")),
        ("RSV3", frame(PING | 0x10, b"")),
        ("all RSV", frame(CLOSE | 0x70, &close_payload(1000, ""))),
        ("opcode 3", frame(0x83, b"")),
        ("opcode 7", frame(0x87, b"x")),
        ("opcode 11", frame(0x8b, b"")),
        ("opcode 15", frame(0x8f, b"x")),
        ("16-bit length of 5", long_form),
        ("64-bit length of 256", longer_form.concat()),
        ("length of 2^63", negative),
        ("ping of 126", frame(PING, &[0; 126])),
        ("pong of 126", frame(PONG, &[0; 126])),
        ("close of 126", frame(CLOSE, &[3; 126])),
        ("fragmented ping", frame(0x09, b"a")),
        ("fragmented pong", frame(0x0a, b"a")),
        ("fragmented close", frame(0x08, &close_payload(1000, ""))),
        ("nothing to continue", frame(CONTINUE_END, b"x")),
        ("nothing to continue yet", frame(CONTINUE, b"x")),
        (
            "text in text",
            [frame(TEXT_START, b"a"), frame(TEXT, b"b")].concat(),
        ),
        (
            "binary in text",
            [frame(TEXT_START, b"a"), frame(0x02, b"b")].concat(),
        ),
    ] {
        check(name, &input, &[failed(1002)]).await;
        // Messages before it are delivered.
        let after = [frame(TEXT, b"first"), input].concat();
        check(name, &after, &[(TEXT, b"first".to_vec()), failed(1002)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_are_joined_across_control_frames() {
    let message = (TEXT, b"fragment1fragment2".to_vec());
    let pong = (PONG, b"p".to_vec());
    let [a, b] = [
        frame(TEXT_START, b"fragment1"),
        frame(CONTINUE_END, b"fragment2"),
    ];
    let ping = frame(PING, b"p");
    check(
        "two",
        &[a.clone(), b.clone()].concat(),
        std::slice::from_ref(&message),
    )
    .await;
    let between = [a.clone(), ping.clone(), b.clone()].concat();
    check("ping between", &between, &[pong.clone(), message.clone()]).await;
    let empty = frame(CONTINUE, b"");
    let nothing = [&a[..], &empty, &empty, &ping, &b, &b].concat();
    check(
        "one too many",
        &nothing,
        &[pong.clone(), message.clone(), failed(1002)],
    )
    .await;
    let none = [
        frame(TEXT_START, b""),
        frame(CONTINUE, b""),
        frame(CONTINUE_END, b""),
    ]
    .concat();
    check("all empty", &none, &[(TEXT, vec![])]).await;
    let binary = [frame(0x02, &[0xff]), frame(CONTINUE_END, &[0xfe])].concat();
    check("binary", &binary, &[(BINARY, vec![0xff, 0xfe])]).await;
    let closed = [a.clone(), close(1000, "bye"), b].concat();
    check(
        "close between",
        &closed,
        &[(CLOSE, close_payload(1000, "bye"))],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn text_must_be_utf8() {
    let good = "Hello-µ@ßöäüàá-UTF-8!! κόσμε 안녕 🙂 \u{0} \u{7f} \u{ffff} \u{10ffff} \u{fffe}";
    check(
        "good",
        &frame(TEXT, good.as_bytes()),
        &[(TEXT, good.into())],
    )
    .await;
    for cut in 0..good.len() {
        let (a, b) = good.as_bytes().split_at(cut);
        let input = [frame(TEXT_START, a), frame(CONTINUE_END, b)].concat();
        check("good, cut anywhere", &input, &[(TEXT, good.into())]).await;
    }
    for bad in [
        &b"\x80"[..],
        b"\xbf\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        // Incomplete at the end.
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x99",
    ] {
        check("bad", &frame(TEXT, bad), &[failed(1007)]).await;
        check(
            "fine as binary",
            &frame(BINARY, bad),
            &[(BINARY, bad.to_vec())],
        )
        .await;
        let split = [frame(TEXT_START, &bad[..1]), frame(CONTINUE_END, &bad[1..])].concat();
        check("bad, in two frames", &split, &[failed(1007)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_text_is_rejected_before_its_message_ends() {
    let mut client = echo(Config::default());
    let start = frame(TEXT_START, b"\xce\xba\xe1\xbd\xb9\xf4\x90");
    tokio::io::AsyncWriteExt::write_all(&mut client, &start)
        .await
        .unwrap();
    assert_eq!(close_code(&read_all(&mut client).await), 1007);
    // The same behind another message in one read, whether or not another violation follows.
    let start = [frame(TEXT, b"first"), start].concat();
    check(
        "bad text, unfinished",
        &start,
        &[(TEXT, b"first".to_vec()), failed(1007)],
    )
    .await;
    let wrong_later = [start, frame(0x83, b"")].concat();
    check(
        "bad text, then a reserved opcode",
        &wrong_later,
        &[(TEXT, b"first".to_vec()), failed(1007)],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_rejected_by_its_header() {
    let config = Config::default().message_bytes(100);
    for input in [
        header(TEXT, 101),
        header(BINARY, 1 << 40),
        header(TEXT, u64::MAX >> 1),
        [frame(TEXT_START, &[b'a'; 60]), header(CONTINUE_END, 41)].concat(),
        [
            frame(TEXT_START, &[b'a'; 100]),
            frame(CONTINUE, b""),
            header(CONTINUE, 1),
        ]
        .concat(),
    ] {
        let got = responses(config.clone(), &input, usize::MAX).await;
        assert_eq!(close_code(&got), 1009, "{input:?}");
    }
    let fits = [
        frame(TEXT_START, &[b'a'; 60]),
        frame(CONTINUE_END, &[b'a'; 40]),
    ]
    .concat();
    let got = responses(config, &[fits, close(1000, "")].concat(), usize::MAX).await;
    assert_eq!(got, [(TEXT, vec![b'a'; 100]), failed(1000)]);
}
