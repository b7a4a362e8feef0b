use super::*;

fn joined() -> Member {
    let mut member = Member::new(1, "r", Ipv4Addr::LOCALHOST, &SharedOracle::default());
    member.join();
    let you = json!({"id": "me", "nickname": "Me"});
    let joined = json!({
        "type": "joined",
        "id": 1,
        "room": {"id": "r"},
        "you": you,
        "presence": {"version": 1, "count": 1, "members": [you]},
        "epoch": "e",
        "seq": 0,
        "recovered": false,
        "messages": [],
    });
    member.apply(&joined.to_string());
    member
}

fn message(seq: u64) -> String {
    format!(r#"{{"type":"message","room":"r","seq":{seq},"text":"{seq}"}}"#)
}

/// The violations after a member has received messages with these numbers, and a declared gap.
fn violations(seqs: &[u64], gap: Option<(u64, u64)>) -> u64 {
    let mut member = joined();
    if let Some((from, to)) = gap {
        member.apply(&format!(
            r#"{{"type":"gap","room":"r","epoch":"e","from":{from},"to":{to}}}"#
        ));
    }
    seqs.iter().for_each(|seq| member.apply(&message(*seq)));
    member.oracle().violations
}

#[test]
fn duplicates_holes_and_reorders_are_detected() {
    assert_eq!(violations(&[1, 2, 3], None), 0);
    assert_eq!(violations(&[1, 2, 2, 3], None), 1, "a duplicate");
    assert!(violations(&[1, 3], None) >= 1, "a hole");
    assert!(violations(&[2, 1], None) >= 1, "a reorder");
    assert_eq!(violations(&[5, 6], Some((1, 4))), 0);
    assert!(
        violations(&[6], Some((1, 4))) >= 1,
        "more than the declared gap"
    );
}

#[test]
fn an_own_message_before_its_sent_is_detected() {
    for (early, violations) in [(false, 0), (true, 1)] {
        let mut member = joined();
        member.send_new(0);
        let sent = r#"{"type":"sent","id":2,"room":"r","seq":1,"at":1}"#;
        let own = r#"{"type":"message","room":"r","seq":1,"text":"1-1 "}"#;
        let order = if early { [own, sent] } else { [sent, own] };
        order.iter().for_each(|event| member.apply(event));
        assert_eq!(member.oracle().violations, violations);
    }
}

#[test]
fn unacknowledged_messages_are_resent_with_their_keys() {
    let mut member = joined();
    member.send_new(0);
    member.on_closed(None);
    assert!(member.has_unacknowledged());
    member.resend();
    assert_eq!(
        member
            .pending
            .values()
            .filter_map(PendingCommand::key)
            .count(),
        1
    );
    assert!(!member.has_unacknowledged());
}
