// Package alert brings alerts to people and to other systems: one line of
// JSON each in the shape of Suricata's EVE log (its user guide, "Eve JSON
// Format"), with Bellwether's own data under the one key "bellwether", and text for
// a terminal. It sends nothing over a network.
package alert

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"

	"bellwether/internal/ledger"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// eveTime is Suricata's time format: microseconds and a zone without colon.
const eveTime = "2006-01-02T15:04:05.000000-0700"

// Event is one EVE record.
type Event struct {
	Timestamp   string `json:"timestamp"`
	FlowID      uint64 `json:"flow_id,omitempty"`
	EventType   string `json:"event_type"`
	SrcIP       string `json:"src_ip,omitempty"`
	SrcPort     uint16 `json:"src_port,omitempty"`
	DestIP      string `json:"dest_ip,omitempty"`
	DestPort    uint16 `json:"dest_port,omitempty"`
	Proto       string `json:"proto,omitempty"`
	CommunityID string `json:"community_id,omitempty"`
	Ether       ether  `json:"ether"`
	Alert       rule   `json:"alert"`
	Bellwether  Detail `json:"bellwether"`
}

type ether struct {
	Src  zone.MAC `json:"src_mac"`
	Dest zone.MAC `json:"dest_mac"`
}

type rule struct {
	Action      string `json:"action"`
	GID         int    `json:"gid"`
	SignatureID int    `json:"signature_id"`
	Rev         int    `json:"rev"`
	Signature   string `json:"signature"`
	Category    string `json:"category"`
	Severity    int    `json:"severity"`
}

// Detail is Bellwether's own part of an event.
type Detail struct {
	ID        string              `json:"id"`
	Zone      zone.Hash           `json:"zone"`
	Device    zone.MAC            `json:"device"`
	Name      string              `json:"name"`
	Since     string              `json:"since"`
	Reason    string              `json:"reason"`
	Text      string              `json:"text"`
	Score     float64             `json:"score"`
	Threshold float64             `json:"threshold"`
	Flagged   int                 `json:"flagged"`
	Window    int                 `json:"window"`
	Packet    uint64              `json:"packet"`
	FirstSeq  zone.SeqID          `json:"first_seq"`
	LastSeq   zone.SeqID          `json:"last_seq"`
	Features  []zone.AlertFeature `json:"features"`
	HID       zone.HID            `json:"h_id"`
	Block     uint64              `json:"block"`
	Network   *zone.AlertNetwork  `json:"network_policy,omitempty"`
	Simulated bool                `json:"simulated,omitempty"`
}

// NewEvent makes the EVE record of an alert. s is the snapshot that decided,
// at is where the verdict stands on the ledger.
func NewEvent(a *zone.Alert, digest zone.Hash, s *zone.Snapshot, at ledger.Receipt) Event {
	p := packetOf(s)
	e := Event{
		Timestamp: a.Raised.Std().Format(eveTime), EventType: "alert",
		SrcPort: s.SrcPort, DestPort: s.DstPort, Proto: protoName(s),
		Ether: ether{s.SrcMAC, s.DstMAC},
		Alert: rule{Action: "allowed", GID: 1, SignatureID: signatureID(a.Reason), Rev: 1,
			Signature: a.Name + ": " + a.Text, Category: "Device behaviour anomaly", Severity: 1},
		Bellwether: Detail{ID: zone.AlertID(digest), Zone: a.Zone, Device: a.Device, Name: a.Name,
			Since: a.Since.String(), Reason: a.Reason, Text: a.Text, Score: a.Score, Threshold: a.Threshold,
			Flagged: a.Flagged, Window: a.Window, Packet: a.Packet, FirstSeq: a.First, LastSeq: a.Last,
			Features: a.Features, HID: at.ID, Block: at.Block, Network: a.Network},
	}
	if !p.HasPorts {
		e.SrcPort, e.DestPort = 0, 0
	}
	e.SrcIP, e.DestIP = addrText(s.Src), addrText(s.Dst)
	if e.CommunityID = packet.CommunityID(&p); e.CommunityID != "" {
		e.FlowID = flowID(e.CommunityID)
	}
	return e
}

// signatureID numbers Bellwether's rules in EVE's alert object.
func signatureID(reason string) int {
	switch reason {
	case zone.ReasonScore:
		return 1
	case zone.ReasonSource:
		return 2
	case zone.ReasonHosts:
		return 3
	case zone.ReasonPorts:
		return 4
	case zone.ReasonRate:
		return 5
	case zone.ReasonFlows:
		return 6
	case zone.ReasonBurst:
		return 7
	case zone.ReasonScan:
		return 8
	case zone.ReasonSilent:
		return 9
	case zone.ReasonPeer:
		return 10
	}
	return 0
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Line is the event as one line of JSON, line feed included.
func (e *Event) Line() ([]byte, error) {
	b, err := json.Marshal(e)
	return append(b, '\n'), err
}

// flowID makes of the community ID a number that is the same for both
// directions: its FNV-1a hash, cut to the 53 bits that a double keeps.
func flowID(community string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(community))
	return h.Sum64() >> 11
}

// packetOf gives back what a snapshot kept of its packet.
func packetOf(s *zone.Snapshot) packet.Packet {
	p := packet.Packet{Time: s.Time, Length: int(s.Length), HasMAC: true, SrcMAC: s.SrcMAC, DstMAC: s.DstMAC,
		Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort, TCPFlags: s.TCPFlags}
	switch {
	case s.Proto > 255 && s.Src.IsValid():
		p.Kind, p.EtherType = packet.KindARP, s.Proto
	case s.Proto > 255 || !s.Src.IsValid():
		p.EtherType = s.Proto
	default:
		p.Kind, p.Proto = packet.KindIPv4, uint8(s.Proto)
		if s.Src.Is6() {
			p.Kind = packet.KindIPv6
		}
	}
	switch p.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, protoDCCP, protoUDPLite:
		p.HasPorts = s.SrcPort != 0 || s.DstPort != 0 // a later fragment has none
	case packet.ProtoICMP, packet.ProtoICMPv6:
		p.ICMPType, p.ICMPCode = uint8(s.DstPort>>8), uint8(s.DstPort)
	}
	return p
}

// Protocol numbers (IANA) that the decoder needs no name for.
const (
	protoDCCP    = 33
	protoUDPLite = 136
)

// protoName is the protocol as EVE writes it: by name, an IP protocol without
// one by three digits; empty for frames that carry neither IP nor ARP.
func protoName(s *zone.Snapshot) string {
	switch {
	case s.Proto == packet.EtherTypeARP:
		return "ARP"
	case s.Proto > 255 || !s.Src.IsValid():
		return ""
	}
	switch s.Proto {
	case packet.ProtoICMP:
		return "ICMP"
	case 2:
		return "IGMP"
	case packet.ProtoTCP:
		return "TCP"
	case packet.ProtoUDP:
		return "UDP"
	case 47:
		return "GRE"
	case 50:
		return "ESP"
	case packet.ProtoICMPv6:
		return "IPv6-ICMP"
	case packet.ProtoSCTP:
		return "SCTP"
	}
	return fmt.Sprintf("%03d", s.Proto)
}
