package mud

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

func bulb(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/bulb.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parsed(t testing.TB) *File {
	t.Helper()
	f, err := Parse(bulb(t))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := parsed(t)
	if f.URL != "https://bulb.example/mud/bulb.json" || f.CacheValidity != 48 || !f.Supported || f.Manufacturer != "Example" {
		t.Errorf("%+v", f)
	}
	if got, want := fmt.Sprint(f.Ignored), "[{extensions 1} {logging 1} {ol 1}]"; got != want {
		t.Errorf("ignored %s, want %s", got, want)
	}
	if len(f.Profile.From) != 8 || len(f.Profile.To) != 1 {
		t.Fatalf("%d and %d rules", len(f.Profile.From), len(f.Profile.To))
	}
	cloud := Rule{Name: "cloud", Proto: 6, Peer: Peer{Name: "cloud.bulb.example"}, PeerPort: Ports{443, 443, false, true}, ICMPType: -1, ICMPCode: -1, Initiated: "from-device"}
	if f.Profile.From[0] != cloud {
		t.Errorf("got %+v, want %+v", f.Profile.From[0], cloud)
	}
	cloud.Name = "cloud back"
	if f.Profile.To[0] != cloud {
		t.Errorf("got %+v, want %+v", f.Profile.To[0], cloud)
	}
	if r := f.Profile.From[5]; r.Unchecked != "dscp" {
		t.Errorf("a rule for a DSCP: %+v", r)
	}
}

// TestProblems: what is wrong is told where it stands.
func TestProblems(t *testing.T) {
	good := string(bulb(t))
	for _, c := range []struct{ old, new, want string }{
		{good, "[]", "/: want an object {…}, and this is a list"},
		{good, "{", "this is not JSON"},
		{good, good + "x", "something stands behind"},
		{good, "{}", `/: there is no "ietf-mud:mud"`},
		{`"mud-version": 1`, `"mud-version": 2`, "/ietf-mud:mud/mud-version: 2, and only version 1"},
		{`"mud-version": 1,`, ``, "/ietf-mud:mud/mud-version: it is missing"},
		{"https://bulb.example/mud/bulb.json\"", "http://x\"", `/ietf-mud:mud/mud-url: "http://x" is not an https URL`},
		{"2026-01-31T12:00:00Z", "yesterday", `/ietf-mud:mud/last-update: "yesterday" is not a time`},
		{`"is-supported": true`, `"is-supported": "yes"`, "/ietf-mud:mud/is-supported: want true or false"},
		{`{"name": "from6"}`, `{"name": "from7"}`, `/ietf-mud:mud/from-device-policy/access-lists/access-list/1: there is no access list "from7"`},
		{`"name": "from6", "type"`, `"name": "from4", "type"`, `/acl/1: there are two access lists "from4"`},
		{`"ipv4-acl-type"`, `"eth-acl-type"`, `/acl/0/type: "eth-acl-type": want ipv4-acl-type`},
		{`"port": 443}}},
         "actions"`, `"port": 70000}}},
         "actions"`, "/acl/0/aces/ace/0/matches/tcp/destination-port/port: want a number from 0 to 65535, and this is 70000"},
		{`"operator": "gte"`, `"operator": "about"`, `/acl/1/aces/ace/0/matches/tcp/destination-port/operator: "about": want eq, neq, lte or gte`},
		{`"lower-port": 22`, `"lower-port": 24`, "from 24 to 23 is no range"},
		{`"forwarding": "drop"`, `"forwarding": "maybe"`, `"maybe": want accept, drop or reject`},
		{"198.51.100.0/24", "2001:db8::/32", "2001:db8::/32 is not an IPv4 network like 192.0.2.0/24"},
		{"Cloud.Bulb.Example.", "no name", "no name is not a DNS name"},
		{`direction-initiated": "to-device"`, `direction-initiated": "both"`, `"both": want from-device or to-device`},
		{`"dscp": 46,`, `"ietf-acldns:dst-dnsname": "a.example",`, "the other end is 192.0.2.7 and a.example at once"},
		{`"matches": {"icmp": {"type": 8, "code": 0}}`, `"matches": {"icmp": {}, "tcp": {}}`, "protocol 6 and 1 at once"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Errorf("%q is not in the file", c.old)
		}
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q for %.60q\n got %v\nwant %s", c.new, c.old, err, c.want)
		}
	}
	if _, err := Parse(make([]byte, MaxFile+1)); err == nil || !strings.Contains(err.Error(), "at most 262144") {
		t.Error(err)
	}
}

// TestDraftNames: published files call the lists as the drafts did.
func TestDraftNames(t *testing.T) {
	text := strings.ReplaceAll(string(bulb(t)), "list:acls", "list:access-lists")
	f, err := Parse([]byte(text))
	if err != nil || len(f.Profile.From) != 8 {
		t.Fatal(err)
	}
}

// sent is a packet that the device sent.
func sent(dst string, proto uint16, from, to uint16, flags uint8) *zone.Snapshot {
	s := &zone.Snapshot{Src: netip.MustParseAddr("192.168.1.5"), Proto: proto, SrcPort: from, DstPort: to, TCPFlags: flags}
	if dst != "" {
		s.Dst = netip.MustParseAddr(dst)
	}
	return s
}

const (
	syn    = tcpSYN
	synAck = tcpSYN | tcpACK
	ack    = tcpACK
)

func TestJudge(t *testing.T) {
	p := &parsed(t).Profile
	known := &Site{Names: map[string][]netip.Addr{"cloud.bulb.example": {netip.MustParseAddr("203.0.113.9")}},
		Classes: map[string][]netip.Prefix{"controller urn:ietf:params:mud:ntp": {netip.MustParsePrefix("203.0.113.123/32")}}}
	for _, c := range []struct {
		what  string
		s     *zone.Snapshot
		known Verdict
		open  Verdict // where no name is known
	}{
		{"to the cloud", sent("203.0.113.9", 6, 40000, 443, syn), Inside, Unchecked},
		{"to another host", sent("203.0.113.10", 6, 40000, 443, syn), Outside, Unchecked},
		{"to another port", sent("203.0.113.9", 6, 40000, 80, syn), Outside, Outside},
		{"answers a connection that it may only open", sent("203.0.113.9", 6, 40000, 443, synAck), Outside, Outside},
		{"time", sent("203.0.113.123", 17, 123, 123, 0), Inside, Unchecked},
		{"time elsewhere", sent("203.0.113.9", 17, 123, 123, 0), Outside, Unchecked},
		{"telnet at home", sent("192.168.1.9", 6, 40000, 23, syn), Outside, Outside},
		{"anything else at home", sent("10.1.2.3", 6, 40000, 1883, syn), Inside, Inside},
		{"serves the app", sent("198.51.100.77", 6, 8080, 51000, synAck), Inside, Inside},
		{"goes on serving", sent("198.51.100.77", 6, 8080, 51000, ack), Inside, Inside},
		{"opens from the port it serves on", sent("198.51.100.77", 6, 8080, 51000, syn), Outside, Outside},
		{"a rule for marked packets", sent("192.0.2.7", 17, 1, 2, 0), Unchecked, Unchecked},
		{"ping", sent("203.0.113.1", 1, 0, 8<<8, 0), Inside, Inside},
		{"another ICMP", sent("203.0.113.1", 1, 0, 13<<8, 0), Outside, Outside},
		{"IPv6", sent("2001:db8::1", 6, 1, 1024, syn), Inside, Inside},
		{"IPv6 below", sent("2001:db8::1", 6, 1, 1023, syn), Outside, Outside},
		{"a later fragment", sent("10.1.2.3", 6, 0, 0, 0), Unchecked, Unchecked},
		{"ARP", sent("192.168.1.1", 0x0806, 0, 0, 0), Exempt, Exempt},
		{"DHCP", sent("255.255.255.255", 17, 68, 67, 0), Exempt, Exempt},
		{"neighbours", sent("ff02::1", 58, 0, 135<<8, 0), Exempt, Exempt},
	} {
		if got := p.Judge(c.s, known); got != c.known {
			t.Errorf("%s: %s, want %s", c.what, got, c.known)
		}
		if got := p.Judge(c.s, &Site{}); got != c.open {
			t.Errorf("%s, with no name known: %s, want %s", c.what, got, c.open)
		}
	}
}

// TestPattern: a name that begins with *. stands for all below it.
func TestPattern(t *testing.T) {
	p := Peer{Name: "*.bulb.example"}
	site := &Site{Names: map[string][]netip.Addr{"a.bulb.example": {netip.MustParseAddr("192.0.2.1")}}}
	if m, known := p.matches(netip.MustParseAddr("192.0.2.1"), site); !m || !known {
		t.Error("a name below it does not match")
	}
	if m, known := p.matches(netip.MustParseAddr("192.0.2.2"), site); !m || known {
		t.Error("an address without a name is told to be known")
	}
}

// seen is what a device does that is learned: a cloud of several hosts, a name
// server, a peer at home that asks it, one that it asks from ports that it makes up.
func seen() (rows []*zone.Snapshot) {
	for i := range 20 {
		port := uint16(40000 + i)
		rows = append(rows,
			sent(fmt.Sprintf("203.0.113.%d", i%3), 6, port, 443, syn),
			sent("192.168.1.1", 17, port, 53, 0),
			sent("192.168.1.9", 6, 8080, 50000+uint16(i), synAck),
			sent("192.168.1.9", 6, 8080, 50000+uint16(i), ack),
			sent("224.0.0.251", 17, 5353, 5353, 0),
			sent("192.168.1.1", 0x0806, 0, 0, 0),
			sent("192.168.1.20", 17, port, 45000+uint16(i), 0),
			sent("192.168.1.1", 1, 0, 3<<8|3, 0))
	}
	return rows
}

func learn(t testing.TB, rows []*zone.Snapshot, site *Site, hosts bool) Learned {
	t.Helper()
	var l Learner
	for _, s := range rows {
		l.Add(s)
	}
	out, err := l.Learned(site, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLearn(t *testing.T) {
	l := learn(t, seen(), &Site{}, false)
	var got []string
	for _, r := range l.Profile.From {
		got = append(got, fmt.Sprint(zone.ProtoName(r.Proto), " ", r.Peer, " ", r.PeerPort, " ", r.LocalPort, " ", r.Initiated, r.Drop))
	}
	want := []string{
		"ICMP 192.168.1.1 any any false",
		"TCP 192.168.1.9 any 8080 to-devicefalse",
		"UDP 192.168.1.1 53 any false",
		"UDP 192.168.1.20 any any false",
		"UDP 224.0.0.251 5353 any false",
		"any local-networks any any true",
		"TCP anybody 443 any from-devicefalse",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(l.Profile.To) != len(want)-1 {
		t.Errorf("%d rules to the device, want all but the one to a group", len(l.Profile.To))
	}
	if l.Rows != 160 || l.Exempt != 20 {
		t.Errorf("%d rows, %d exempt", l.Rows, l.Exempt)
	}
	for _, s := range seen() {
		if v := l.Profile.Judge(s, &Site{}); v != Inside && v != Exempt {
			t.Errorf("what was learned is %s: %+v", v, s)
		}
	}
	for _, s := range []*zone.Snapshot{sent("203.0.113.77", 6, 40000, 23, syn), sent("192.168.1.77", 6, 40000, 443, syn), sent("203.0.113.1", 17, 40000, 443, 0)} {
		if v := l.Profile.Judge(s, &Site{}); v != Outside {
			t.Errorf("%+v is %s", s, v)
		}
	}
}

// TestLearnHosts: with hosts, peers outside have their own rules, by name where
// there is one.
func TestLearnHosts(t *testing.T) {
	site := &Site{Names: map[string][]netip.Addr{"cloud.example": {netip.MustParseAddr("203.0.113.0"), netip.MustParseAddr("203.0.113.1")},
		"tv.lan": {netip.MustParseAddr("192.168.1.9")}}}
	l := learn(t, seen(), site, true)
	var got []string
	for _, r := range l.Profile.From {
		if r.Proto == 6 {
			got = append(got, r.Peer.String())
		}
	}
	if want := []string{"192.168.1.9", "203.0.113.2", "cloud.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	moved := sent("203.0.113.200", 6, 40000, 443, syn)
	if v := l.Profile.Judge(moved, site); v != Outside {
		t.Errorf("another host is %s", v)
	}
	names := map[string][]netip.Addr{"cloud.example": append(site.Names["cloud.example"], moved.Dst)}
	if v := l.Profile.Judge(moved, &Site{Names: names}); v != Inside {
		t.Errorf("the cloud's new address is %s", v)
	}
}

// TestLearnedOrder: the order of snapshots does not matter.
func TestLearnedOrder(t *testing.T) {
	rows := seen()
	a := learn(t, rows, &Site{}, true)
	slices.Reverse(rows)
	if b := learn(t, rows, &Site{}, true); !reflect.DeepEqual(a, b) {
		t.Error("the profile depends on the order")
	}
}

func learnedFile(t testing.TB) *File {
	return &File{Version: 1, URL: "https://bellwether.invalid/x.json", LastUpdate: "2026-01-31T12:00:00Z", CacheValidity: 48, Supported: true, Systeminfo: "x",
		Profile: learn(t, seen(), &Site{}, false).Profile}
}

// TestEncode: what is written is read as the same.
func TestEncode(t *testing.T) {
	f := learnedFile(t)
	b, err := Encode(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("%v\n got %+v\nwant %+v", err, again, f)
	}
	f.Profile.From[0].Unchecked = "dscp"
	if _, err := Encode(f); err == nil {
		t.Error("a rule that cannot be written was")
	}
}

func TestSign(t *testing.T) {
	seed := make([]byte, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed)
	file := []byte("any file")
	certificate, err := Certificate(key, "bellwether zone 01", 1_700_000_000e9)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := Sign(file, key, certificate)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Sign(file, key, certificate); err != nil || !bytes.Equal(again, signature) {
		t.Errorf("signed twice, it is not the same: %v", err)
	}
	signer, err := Verify(file, signature)
	if err != nil || !key.Public().(ed25519.PublicKey).Equal(signer.PublicKey) {
		t.Fatal(err)
	}
	// The 64 bytes at the end are a plain Ed25519 signature of the file.
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), file, signature[len(signature)-64:]) {
		t.Error("the signature's last bytes are not Ed25519 over the file")
	}
	if _, err := Verify([]byte("other file"), signature); err == nil {
		t.Error("another file has the same signature")
	}
	for i := range signature {
		bad := bytes.Clone(signature)
		bad[i] ^= 1
		if c, err := Verify(file, bad); err == nil && key.Public().(ed25519.PublicKey).Equal(c.PublicKey) && i >= len(signature)-64 {
			t.Errorf("byte %d of the signature may be anything", i)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), make([]byte, maxSignature+1)} {
		if _, err := Verify(file, bad); err == nil {
			t.Errorf("%d bytes are a signature", len(bad))
		}
	}
}

func TestReport(t *testing.T) {
	p := learn(t, seen(), &Site{}, false).Profile
	rows := func(yield func(*zone.Snapshot, error) bool) {
		for i := range 300 {
			for _, s := range []*zone.Snapshot{sent(fmt.Sprintf("198.51.100.%d", i%100), 6, 40000, 23, syn), sent("203.0.113.1", 6, 40000, 443, ack), sent("192.168.1.1", 0x0806, 0, 0, 0),
				sent("198.51.100.1", 17, 1000, uint16(i), 0)} {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
	r, err := p.Report(rows, &Site{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Named[0].String(), "TCP port 23: 100 hosts, 300 packets, first 198.51.100.0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.Packets != 900 || r.Inside != 300 || r.Outside != 600 || r.Exempt != 300 || len(r.Named) != maxNamed || r.More != 300-(maxNamed-1) {
		t.Errorf("%+v", r)
	}
}

// FuzzParse: no file panics, an error or a file and never both, and what a file
// says does not depend on the run.
func FuzzParse(f *testing.F) {
	f.Add(bulb(f))
	b, err := Encode(learnedFile(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"ietf-mud:mud":{"from-device-policy":{"access-lists":{"access-list":[{"name":"a"}]}}},"ietf-access-control-list:acls":{"acl":[{"name":"a","aces":{"ace":[{}]}}]}}`))
	f.Add([]byte(`{"ietf-mud:mud":[],"ietf-access-control-list:acls":{"acl":3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		again, errAgain := Parse(b)
		if (err == nil) != (file != nil) || fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(file, again) {
			t.Fatalf("%v, then %v", err, errAgain)
		}
		if err != nil {
			return
		}
		for _, s := range seen()[:8] {
			file.Profile.Judge(s, &Site{})
		}
	})
}

// FuzzVerify: no signature panics.
func FuzzVerify(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c, err := Certificate(key, "x", 0)
	if err != nil {
		f.Fatal(err)
	}
	s, err := Sign([]byte("x"), key, c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("x"), s)
	f.Add([]byte("x"), []byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, file, signature []byte) {
		if c, err := Verify(file, signature); (err == nil) != (c != nil) {
			t.Fatal(c, err)
		}
	})
}
