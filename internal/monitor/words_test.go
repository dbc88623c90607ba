package monitor

import (
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

func TestInWords(t *testing.T) {
	scan := func(hosts int, port uint16) *habit {
		h := newHabit()
		for i := range hosts {
			h.add(row(time.Duration(i)*10*time.Millisecond, host(i), tcp, 40000, port, tcpSYN, 60))
		}
		return h
	}
	few := []zone.AlertFeature{{Name: "MI_dir_L0.1_weight", Observed: 812.4, Low: 3, High: 17.5, Share: 0.5}}
	for _, c := range []struct {
		name  string
		now   *habit
		usual detect.Profile
		want  string
	}{
		{"new port", scan(122, 23), detect.Profile{MaxPackets: 100, MaxBytes: 1 << 30},
			"talks to 122 hosts on TCP port 23 in 60 s; never before; number of packets of everything it sends over about 10 s is 812.4; usually 3 to 17.5"},
		{"more hosts", scan(122, 23), detect.Profile{MaxPackets: 100, MaxBytes: 1 << 30, Ports: []detect.PortUse{{Proto: tcp, Port: 23, MaxHosts: 3}}},
			"talks to 122 hosts on TCP port 23 in 60 s; never more than 3 before; number of packets"},
		{"as always", scan(122, 443), detect.Profile{MaxPackets: 100, MaxBytes: 1 << 30, Ports: []detect.PortUse{{Proto: tcp, Port: 443, MaxHosts: 100}}},
			"number of packets of everything it sends"},
		{"flood", scan(1200, 443), detect.Profile{MaxPackets: 20, MaxBytes: 2000, Ports: []detect.PortUse{{Proto: tcp, Port: 443, MaxHosts: 2000}}},
			"sends 1,001 packets in 10 s; never more than 20 before; sends 60,060 bytes in 10 s; never more than 2,000 before"},
	} {
		if got := inWords(c.now, &c.usual, few); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Every one of the features can be put in words.
func TestEveryFeatureHasWords(t *testing.T) {
	for _, name := range feature.Names() {
		got := featurePhrase(zone.AlertFeature{Name: name, Observed: 1})
		if strings.HasPrefix(got, " ") || strings.Contains(got, "of  ") || strings.Contains(got, "about  ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 13: "13", 999: "999", 2000: "2,000", 123456: "123,456", 1234567890: "1,234,567,890"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
