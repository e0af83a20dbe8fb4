//! What tshark makes of the protocols between a host and a module.

/// Checks the layers that tshark found in an intact packet of the protocol `name`. Returns whether
/// it is one of these.
pub fn judge(name: &str, layers: &str, intact: bool, what: &str) -> bool {
    let begin: &[&str] = match name {
        "ppp" => &["ppp:lcp", "ppp:pap", "ppp:chap", "ppp:ipcp", "ppp:ip"],
        "slip" => &["raw:ip:udp", "raw:ip:tcp", "raw:ip:icmp", "raw:ipv6"],
        "slcan" => &["can:", "canfd:", "can"],
        "zwave" => &["exported_pdu:data"],
        "raw" => &["exported_pdu:mbrtu", "exported_pdu:data"],
        "h4" => &["bluetooth:hci_h4:"],
        "cmux" => &["mux27010"],
        "zniffer" => &["exported_pdu:data"],
        "dmx" => &["exported_pdu:dmx"],
        "kiss" => &["ax25_kiss"],
        _ => return false,
    };
    assert!(!intact || begin.iter().any(|layer| layers.starts_with(layer)), "{what}");
    true
}
