package rehearse

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/mud"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// sentBy is a packet as a network policy looks at it.
func sentBy(p *packet.Packet) *zone.Snapshot {
	s := &zone.Snapshot{Device: p.SrcMAC, SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst, Proto: uint16(p.Proto), SrcPort: p.SrcPort, DstPort: p.DstPort, TCPFlags: p.TCPFlags}
	switch {
	case p.Kind != packet.KindIPv4 && p.Kind != packet.KindIPv6:
		s.Proto = max(p.EtherType, 256)
	case p.Proto == packet.ProtoICMP || p.Proto == packet.ProtoICMPv6:
		s.DstPort = uint16(p.ICMPType)<<8 | uint16(p.ICMPCode)
	}
	return s
}

// allSent gives the packets of all devices in captures.
func allSent(t *testing.T, dir string) map[zone.MAC][]*zone.Snapshot {
	t.Helper()
	out := map[zone.MAC][]*zone.Snapshot{}
	var p packet.Packet
	_, err := gateway.Frames(context.Background(), []string{dir}, func(fr *capture.Frame) error {
		packet.Decode(fr.Link, fr.Data, &p)
		out[p.SrcMAC] = append(out[p.SrcMAC], sentBy(&p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rowsOf(rows []*zone.Snapshot) iter.Seq2[*zone.Snapshot, error] {
	return func(yield func(*zone.Snapshot, error) bool) {
		for _, s := range rows {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// attackOf gives what the device itself sends in an attack.
func attackOf(o simulate.Overlay) (rows []*zone.Snapshot) {
	var p packet.Packet
	for f := range o.Frames() {
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		if p.SrcMAC == o.MAC {
			rows = append(rows, sentBy(&p))
		}
	}
	return rows
}

// TestNetworkPolicyOfRealDevices learns the network policy of every device of a
// real home on two days and holds it against its traffic of later days, which has
// to be inside, and against attacks of the device, which have to be outside where
// they use a service that the device does not.
func TestNetworkPolicyOfRealDevices(t *testing.T) {
	home := filepath.Join("../../../shared/data/pcaps/madea")
	if _, err := os.Stat(home); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("test data missing: %v", err)
		}
		t.Skipf("test data missing: %v", err)
	}
	listed, err := os.ReadFile(filepath.Join(home, "files", "Device_MAC_Name_Mapping.csv"))
	if err != nil {
		t.Fatal(err)
	}
	learned, later := allSent(t, filepath.Join(home, "training")), allSent(t, filepath.Join(home, "monitoring_normal"))
	profiles := map[zone.MAC]*mud.Profile{}
	var total zone.NetworkReport
	for mac, rows := range learned {
		if len(rows) < 2000 || mac.IsLocal() || !strings.Contains(string(listed), mac.String()) {
			continue
		}
		var l mud.Learner
		for _, s := range rows {
			l.Add(s)
		}
		out, err := l.Learned(&mud.Site{}, false)
		if err != nil {
			t.Fatal(err)
		}
		profiles[mac] = &out.Profile
		r, err := out.Profile.Report(rowsOf(later[mac]), &mud.Site{})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d rules; later days: %d packets, %d outside %v", mac, len(out.Profile.From), r.Packets, r.Outside, r.Named)
		total.Packets, total.Outside = total.Packets+r.Packets, total.Outside+r.Outside
	}
	if len(profiles) != 10 || total.Outside*1000 > total.Packets {
		t.Errorf("%d devices, %d of %d packets of later days outside: want 10, and at most one in a thousand", len(profiles), total.Outside, total.Packets)
	}
	attack(t, home, profiles)
}

// attack holds attacks of each device against its policy.
func attack(t *testing.T, home string, profiles map[zone.MAC]*mud.Profile) {
	var macs []zone.MAC
	for mac := range profiles {
		macs = append(macs, mac)
	}
	overlays, err := Overlays(context.Background(), []string{filepath.Join(home, "monitoring_normal")}, macs)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range simulate.Kinds() {
		told, devices, packets, outside := 0, 0, 0, 0
		for _, o := range overlays {
			o.Kind, o.Duration, o.Seed = kind.Name, min(kind.Lasts, 30e9), 7
			rows := attackOf(o)
			if len(rows) == 0 {
				continue
			}
			r, err := profiles[o.MAC].Report(rowsOf(rows), &mud.Site{})
			if err != nil {
				t.Fatal(err)
			}
			devices++
			packets, outside = packets+r.Packets, outside+r.Outside
			if r.Outside > 0 {
				told++
			}
		}
		t.Logf("%-22s outside at %d of %d devices, %d of %d packets", kind.Name, told, devices, outside, packets)
		if strings.HasSuffix(kind.Name, "scan") && !strings.HasPrefix(kind.Name, "arp") && told < devices {
			t.Errorf("%s: outside at %d of %d devices", kind.Name, told, devices)
		}
	}
}
