//! What machines write when nothing is the matter.

use fastrand::Rng;

use super::{HOSTS, Line, host_name};

/// Syslog's facilities.
const KERNEL: u8 = 0;
const DAEMON: u8 = 3;
const AUTH: u8 = 4;
const CRON: u8 = 9;

/// An ordinary line.
pub(super) fn ordinary(rng: &mut Rng) -> Line {
    match rng.u32(..100) {
        0..34 => sshd(rng),
        34..58 => cron(rng),
        58..84 => systemd(rng),
        84..92 => kernel(rng),
        _ => network(rng),
    }
}

/// A channel and a text as a stream query would ask for, on matters of the house.
pub(super) fn chore(number: usize, rng: &mut Rng) -> (&'static str, String) {
    let host = host_name(rng.usize(..HOSTS));
    match number % 4 {
        0 => {
            let degrees = rng.u32(780..850);
            let (whole, tenth) = (degrees / 10, degrees % 10);
            (
                "ops",
                format!("🌡 {host}: {whole}.{tenth} °C, throttled\nthrottled=0x20002 arm=600 MHz"),
            )
        }
        1 => {
            let percent = rng.u32(90..99);
            (
                "ops",
                format!(
                    "💾 {host}: / is {percent} % full\n/dev/mmcblk0p2  29G  27G  {}M  {percent}% /",
                    rng.u32(400..1900)
                ),
            )
        }
        2 => ("ops", format!("🔁 {host}: 3 reboots in the last hour")),
        _ => (
            "general",
            format!("✅ nightly backup of {host}: {} files, no errors", rng.u32(2_000..90_000)),
        ),
    }
}

fn line(facility: u8, level: u8, text: String) -> Line {
    Line { facility, level, text }
}

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn sshd(rng: &mut Rng) -> Line {
    let pid = rng.u32(900..32_768);
    let user = pick(rng, &["pi", "pi", "pi", "anna", "ben", "root"]);
    let (from, port) = (rng.u8(100..120), rng.u16(33_000..60_999));
    let text = match rng.u32(..6) {
        0 | 1 => format!(
            "Accepted publickey for {user} from 192.168.42.{from} port {port} ssh2: ED25519 SHA256:{}",
            fingerprint(rng)
        ),
        2 => format!("pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"),
        3 => format!("pam_unix(sshd:session): session closed for user {user}"),
        4 => format!(
            "Received disconnect from 192.168.42.{from} port {port}:11: disconnected by user"
        ),
        _ => format!("Disconnected from user {user} 192.168.42.{from} port {port}"),
    };
    line(AUTH, 6, format!("sshd[{pid}]: {text}"))
}

fn fingerprint(rng: &mut Rng) -> String {
    (0..43).map(|_| rng.alphanumeric()).collect()
}

fn cron(rng: &mut Rng) -> Line {
    let pid = rng.u32(900..32_768);
    let text = pick(
        rng,
        &[
            "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
            "(root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
            "(pi) CMD (/home/pi/bin/temperature.sh >/dev/null 2>&1)",
            "(pi) CMD (python3 /home/pi/sensors/publish.py)",
            "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
            "pam_unix(cron:session): session closed for user root",
        ],
    );
    line(CRON, 6, format!("CRON[{pid}]: {text}"))
}

fn systemd(rng: &mut Rng) -> Line {
    let unit = pick(
        rng,
        &["apt-daily", "logrotate", "fstrim", "man-db", "systemd-tmpfiles-clean", "fwupd-refresh"],
    );
    let text = match rng.u32(..6) {
        0 => format!("Starting {unit}.service..."),
        1 => format!("Finished {unit}.service."),
        2 | 3 => format!("{unit}.service: Deactivated successfully."),
        4 => format!("Started Session {} of user pi.", rng.u32(1..4_000)),
        _ => format!("session-{}.scope: Deactivated successfully.", rng.u32(1..4_000)),
    };
    line(DAEMON, 6, format!("systemd[1]: {text}"))
}

fn kernel(rng: &mut Rng) -> Line {
    let at = format!("[{:>5}.{:06}]", rng.u32(100..99_999), rng.u32(..1_000_000));
    let (level, text) = match rng.u32(..4) {
        0 => (4, "hwmon hwmon1: Undervoltage detected!".to_owned()),
        1 => (6, "hwmon hwmon1: Voltage normalised".to_owned()),
        2 => {
            let number = rng.u32(3..90);
            (
                6,
                format!(
                    "usb 1-1.{}: new high-speed USB device number {number} using dwc_otg",
                    rng.u8(1..5)
                ),
            )
        }
        _ => (6, "brcmfmac: brcmf_cfg80211_set_power_mgmt: power save enabled".to_owned()),
    };
    line(KERNEL, level, format!("kernel: {at} {text}"))
}

fn network(rng: &mut Rng) -> Line {
    let pid = rng.u32(300..900);
    let text = match rng.u32(..4) {
        0 => format!("dhcpcd[{pid}]: wlan0: rebinding lease of 192.168.42.{}", rng.u8(11..19)),
        1 => format!("systemd-timesyncd[{pid}]: Contacted time server 192.168.42.1:123 (ntp.lan)."),
        2 => format!(
            "wpa_supplicant[{pid}]: wlan0: WPA: Group rekeying completed with b8:27:eb:00:2a:{:02x} [GTK=CCMP]",
            rng.u8(..)
        ),
        _ => format!(
            "avahi-daemon[{pid}]: Registering new address record for 192.168.42.{} on wlan0.IPv4.",
            rng.u8(11..19)
        ),
    };
    line(DAEMON, 6, text)
}
