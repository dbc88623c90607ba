package packet

import (
	"fmt"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsReply makes an answer to a question for cam.Example. with an alias and two
// addresses.
func dnsReply(t testing.TB, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	name, alias := dnsmessage.MustNewName("cam.Example."), dnsmessage.MustNewName("edge.example.")
	rr := func(n dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 60}, Body: body}
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, Response: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{
			rr(name, &dnsmessage.CNAMEResource{CNAME: alias}),
			rr(alias, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}),
			rr(alias, &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}}),
		},
	}
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDNSAnswer(t *testing.T) {
	whole := dnsReply(t, nil)
	for _, c := range []struct {
		name    string
		payload []byte
		port    uint16
		want    string
	}{
		{"an answer", whole, 53, "{cam.example [192.0.2.1 2001:db8::1]} true"},
		{"another port", whole, 5353, "{ []} false"},
		{"cut off", whole[:len(whole)-1], 53, "{ []} false"},
		{"a question", dnsReply(t, func(m *dnsmessage.Message) { m.Response = false }), 53, "{ []} false"},
		{"an error", dnsReply(t, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }), 53, "{ []} false"},
		{"no address", dnsReply(t, func(m *dnsmessage.Message) { m.Answers = m.Answers[:1] }), 53, "{cam.example []} false"},
		{"no question", dnsReply(t, func(m *dnsmessage.Message) { m.Questions = nil }), 53, "{ []} false"},
		{"nothing", nil, 53, "{ []} false"},
	} {
		p := Packet{Kind: KindIPv4, Proto: ProtoUDP, HasPorts: true, SrcPort: c.port, Payload: c.payload}
		a, ok := p.DNSAnswer()
		if got := fmt.Sprint(a, ok); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzDNSAnswer(f *testing.F) {
	f.Add(dnsReply(f, nil))
	f.Add([]byte("\x00\x01\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		p := Packet{Kind: KindIPv4, Proto: ProtoUDP, HasPorts: true, SrcPort: 53, Payload: payload}
		a, ok := p.DNSAnswer()
		if ok != (len(a.Addresses) > 0) || len(a.Addresses) > maxDNSAddresses {
			t.Fatalf("%v, %v", a, ok)
		}
	})
}
