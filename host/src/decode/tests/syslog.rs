//! Syslog lines of both RFCs.

use super::*;

const SYSLOG: [&str; 9] = [
    "/date",
    "/facility",
    "/level",
    "/host",
    "/app",
    "/procid",
    "/msgid",
    "/structured_data",
    "/message",
];

fn check_syslog(line: &str, expected: [&str; 9]) {
    let found = found(Format::Syslog, line.as_bytes(), &SYSLOG).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|field| match field {
            Some(json) => match serde_json::from_str(json).unwrap() {
                Value::String(text) => text,
                other => other.to_string(),
            },
            None => "-".to_owned(),
        })
        .collect();
    assert_eq!(found, expected, "{line}");
}

#[test]
fn syslog_of_rfc_3164_is_read() {
    let date = "1772637264000";
    check_syslog(
        "<38>Mar  4 15:14:24 rpi-03 sshd[24150]: Invalid user gpadmin from 114.247.61.96\n",
        [
            date,
            "4",
            "6",
            "rpi-03",
            "sshd",
            "24150",
            "-",
            "-",
            "Invalid user gpadmin from 114.247.61.96",
        ],
    );
    check_syslog(
        "<38>Mar  4 15:14:24 rpi-03 su: 'su root' failed",
        [date, "4", "6", "rpi-03", "su", "-", "-", "-", "'su root' failed"],
    );
    check_syslog(
        "<38>2026-03-04T15:14:24+00:00 rpi-03 kernel no tag here",
        [date, "4", "6", "rpi-03", "-", "-", "-", "-", "kernel no tag here"],
    );
    check_syslog(
        "Mar  4 15:14:24 sshd[24150]: a local line",
        [date, "-", "-", "-", "sshd", "24150", "-", "-", "a local line"],
    );
    check_syslog("<13>hello", ["-", "1", "5", "-", "-", "-", "-", "-", "hello"]);
    check_syslog("<13>", ["-", "1", "5", "-", "-", "-", "-", "-", ""]);
}

#[test]
fn syslog_of_rfc_5424_is_read() {
    check_syslog(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
        [
            "1065910455003",
            "4",
            "2",
            "mymachine.example.com",
            "su",
            "-",
            "ID47",
            "-",
            "'su root' failed",
        ],
    );
    check_syslog(
        r#"<165>1 - h evntslog 12 ID47 [a@1 k="v\"\]" x="]"][b@2] An entry"#,
        [
            "-",
            "20",
            "5",
            "h",
            "evntslog",
            "12",
            "ID47",
            r#"[a@1 k="v\"\]" x="]"][b@2]"#,
            "An entry",
        ],
    );
    check_syslog("<165>1 - - - - - -", ["-", "20", "5", "-", "-", "-", "-", "-", "-"]);
}

#[test]
fn what_is_no_syslog_is_undecodable() {
    for line in ["", "hello", "<999>x", "<>x", "{\"a\":1}", "<1"] {
        assert_eq!(found(Format::Syslog, line.as_bytes(), &["/host"]), Err(DecodeError::Syslog));
    }
}
