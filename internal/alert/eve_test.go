package alert

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

var (
	camera = zone.MAC{0, 0, 0x5e, 0, 0x53, 1}
	router = zone.MAC{0, 0, 0x5e, 0, 0x53, 2}
	digest = zone.Hash{0xab, 0xcd, 0xef, 1, 2, 3, 4}
)

func anAlert() *zone.Alert {
	return &zone.Alert{Zone: zone.Hash{1}, Device: camera, Name: "camera", Since: 1_491_603_877_251_547_100, Raised: 1_491_603_877_951_547_999,
		Packet: 42, Reason: zone.ReasonScore, Text: "talks to 122 new hosts <on port 23>", Score: 3.25, Threshold: 0.5, Window: 60, Span: 60e9,
		Flagged: 31, Model: zone.Hash{2}, First: 900, Last: 960, Rows: 61,
		Features: []zone.AlertFeature{{Name: "MI_dir_L5_weight", Observed: 1500.5, Low: 1, High: 20, Share: 0.625}, {Name: "HpHp_L0.01_pcc", Observed: -0.25, Low: 0, High: 0, Share: 0.0625}}}
}

func snapshot(proto uint16, src, dst string, srcPort, dstPort uint16) *zone.Snapshot {
	s := &zone.Snapshot{Device: camera, SrcMAC: camera, DstMAC: router, Proto: proto, SrcPort: srcPort, DstPort: dstPort}
	if src != "" {
		s.Src, s.Dst = netip.MustParseAddr(src), netip.MustParseAddr(dst)
	}
	return s
}

func event(s *zone.Snapshot) Event {
	return NewEvent(anAlert(), digest, s, ledger.Receipt{ID: zone.HID{9}, Block: 7, Index: 3})
}

// line gives the event's line as a reader of EVE sees it.
func line(t *testing.T, e Event) map[string]any {
	t.Helper()
	b, err := e.Line()
	if err != nil || strings.Count(string(b), "\n") != 1 || b[len(b)-1] != '\n' {
		t.Fatalf("%q, %v: want one line", b, err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShape(t *testing.T) {
	e := event(snapshot(6, "128.232.110.120", "66.35.250.204", 34855, 80))
	m := line(t, e)
	for key, want := range map[string]any{
		"timestamp": "2017-04-07T22:24:37.951547+0000", "event_type": "alert", "src_ip": "128.232.110.120", "src_port": 34855.,
		"dest_ip": "66.35.250.204", "dest_port": 80., "proto": "TCP", "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
		"flow_id": float64(e.FlowID),
	} {
		if m[key] != want {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	rule := m["alert"].(map[string]any)
	for key, want := range map[string]any{"action": "allowed", "gid": 1., "signature_id": 1., "rev": 1., "severity": 1.,
		"category": "Device behaviour anomaly", "signature": "camera: talks to 122 new hosts <on port 23>"} {
		if rule[key] != want {
			t.Errorf("alert.%s is %v, want %v", key, rule[key], want)
		}
	}
	own := m["bellwether"].(map[string]any)
	for key, want := range map[string]any{"id": "alert-abcdef010203", "device": "00:00:5e:00:53:01", "since": "2017-04-07T22:24:37.2515471Z",
		"reason": "score", "score": 3.25, "threshold": 0.5, "flagged": 31., "window": 60., "packet": 42., "first_seq": 900., "last_seq": 960.,
		"block": 7., "h_id": zone.HID{9}.String(), "zone": zone.Hash{1}.String(), "name": "camera"} {
		if own[key] != want {
			t.Errorf("bellwether.%s is %v, want %v", key, own[key], want)
		}
	}
	if n := len(own["features"].([]any)); n != 2 || own["simulated"] != nil {
		t.Errorf("%d features, simulated %v", n, own["simulated"])
	}
	if e.FlowID == 0 || e.FlowID >= 1<<53 {
		t.Errorf("flow_id %d is no integer of a double", e.FlowID)
	}
	if ether := m["ether"].(map[string]any); ether["src_mac"] != camera.String() || ether["dest_mac"] != router.String() {
		t.Errorf("ether is %v", ether)
	}
}

// TestNetworkPolicy: what lies outside stands under a key of its own, without a
// policy there is none.
func TestNetworkPolicy(t *testing.T) {
	s := snapshot(6, "1.2.3.4", "5.6.7.8", 1, 2)
	if own := line(t, event(s))["bellwether"].(map[string]any); own["network_policy"] != nil {
		t.Errorf("without a policy: %v", own)
	}
	a := anAlert()
	a.Network = anOutside()
	own := line(t, NewEvent(a, digest, s, ledger.Receipt{}))["bellwether"].(map[string]any)["network_policy"].(map[string]any)
	evidence := own["evidence"].(map[string]any)
	first := evidence["named"].([]any)[0].(map[string]any)
	if own["sha256"] != a.Network.SHA256.String() || evidence["outside"] != 50. || first["port"] != 23. || first["first"] != "198.51.100.7" {
		t.Errorf("got %v", own)
	}
}

// TestFlows: protocol, ports and community ID (vectors of the specification) of
// every sort of packet.
func TestFlows(t *testing.T) {
	for name, tt := range map[string]struct {
		s         *zone.Snapshot
		proto, id string
		ports, ip bool
	}{
		"UDP":         {snapshot(17, "192.168.1.52", "8.8.8.8", 54585, 53), "UDP", "1:d/FP5EW3wiY1vCndhwleRRKHowQ=", true, true},
		"SCTP":        {snapshot(132, "192.168.170.8", "192.168.170.56", 7, 80), "SCTP", "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=", true, true},
		"ICMP":        {snapshot(1, "192.168.0.89", "192.168.0.1", 0, 8<<8), "ICMP", "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=", false, true},
		"ICMP, code":  {snapshot(1, "192.168.0.89", "192.168.0.1", 0, 20<<8|1), "ICMP", "1:tz/fHIDUHs19NkixVVoOZywde+I=", false, true},
		"ICMPv6":      {snapshot(58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 0, 135<<8), "IPv6-ICMP", "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", false, true},
		"no name":     {snapshot(46, "1.2.3.4", "5.6.7.8", 0, 0), "046", "1:ikv3kmf89luf73WPz1jOs49S768=", false, true},
		"fragment":    {snapshot(17, "1.2.3.4", "5.6.7.8", 0, 0), "UDP", "", false, true},
		"ARP":         {snapshot(0x0806, "192.168.0.89", "192.168.0.1", 0, 0), "ARP", "", false, true},
		"ARP, cut":    {snapshot(0x0806, "", "", 0, 0), "ARP", "", false, false},
		"EAPOL":       {snapshot(0x888e, "", "", 0, 0), "", "", false, false},
		"LLC, untold": {snapshot(0, "", "", 0, 0), "", "", false, false},
	} {
		m := line(t, event(tt.s))
		text := func(key string) string { s, _ := m[key].(string); return s }
		if text("proto") != tt.proto || text("community_id") != tt.id {
			t.Errorf("%s: proto %q, community_id %q, want %q and %q", name, text("proto"), text("community_id"), tt.proto, tt.id)
		}
		for key, want := range map[string]bool{"src_ip": tt.ip, "dest_ip": tt.ip, "src_port": tt.ports, "dest_port": tt.ports, "flow_id": tt.id != "", "ether": true} {
			if _, ok := m[key]; ok != want {
				t.Errorf("%s: %s is there: %v, want %v", name, key, ok, want)
			}
		}
	}
}

func TestIPv6(t *testing.T) {
	m := line(t, event(snapshot(6, "2001:db8::1", "2001:db8::2", 1, 2)))
	if m["src_ip"] != "2001:db8::1" || m["dest_ip"] != "2001:db8::2" || !strings.HasPrefix(m["community_id"].(string), "1:") {
		t.Errorf("got %v", m)
	}
}

func TestFlowIDOfBothDirections(t *testing.T) {
	there := event(snapshot(6, "10.0.0.1", "10.0.0.2", 1000, 80))
	back := event(snapshot(6, "10.0.0.2", "10.0.0.1", 80, 1000))
	other := event(snapshot(6, "10.0.0.1", "10.0.0.2", 1001, 80))
	if there.FlowID != back.FlowID || there.FlowID == other.FlowID {
		t.Errorf("flow IDs %d, %d and %d", there.FlowID, back.FlowID, other.FlowID)
	}
	// FNV-1a of "a", from the authors' test vectors (Noll).
	if got := flowID("a"); got != 0xaf63dc4c8601ec8c>>11 {
		t.Errorf("of %q: %x", "a", got)
	}
}

func TestReasons(t *testing.T) {
	for reason, want := range map[string]int{zone.ReasonScore: 1, zone.ReasonSource: 2, zone.ReasonHosts: 3, zone.ReasonPorts: 4,
		zone.ReasonRate: 5, zone.ReasonFlows: 6, zone.ReasonBurst: 7, zone.ReasonScan: 8, zone.ReasonSilent: 9, zone.ReasonPeer: 10} {
		a := anAlert()
		a.Reason = reason
		if e := NewEvent(a, digest, snapshot(6, "1.2.3.4", "5.6.7.8", 1, 2), ledger.Receipt{}); e.Alert.SignatureID != want {
			t.Errorf("%s: signature %d, want %d", reason, e.Alert.SignatureID, want)
		}
	}
}

// TestTimestamp: Suricata always writes six digits and a zone without a colon.
func TestTimestamp(t *testing.T) {
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000$`)
	for _, at := range []zone.Time{0, 1, 1_000_000_000, 1_491_603_877_000_000_000} {
		a := anAlert()
		a.Raised = at
		if e := NewEvent(a, digest, snapshot(6, "1.2.3.4", "5.6.7.8", 1, 2), ledger.Receipt{}); !form.MatchString(e.Timestamp) {
			t.Errorf("%d is %s", at, e.Timestamp)
		}
	}
}
