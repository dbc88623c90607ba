package packet

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// maxDNSAddresses bounds what one answer gives.
const maxDNSAddresses = 64

// DNSAnswer is what a name server said of a name.
type DNSAnswer struct {
	Name      string       // that was asked for, in lower case without the dot at its end
	Addresses []netip.Addr // of it, also by way of other names; at most 64
}

// DNSAnswer decodes the payload as a name server's answer over UDP (RFC 1035). It
// reports false for anything else: other ports than 53, questions, errors, answers
// without an address, and messages that are cut off.
//
// Nothing on the packet path calls it: what is in the packets is only read where
// somebody asks for names.
func (p *Packet) DNSAnswer() (DNSAnswer, bool) {
	if p.Proto != ProtoUDP || !p.HasPorts || p.SrcPort != 53 || p.Fragment {
		return DNSAnswer{}, false
	}
	var d dnsmessage.Parser
	h, err := d.Start(p.Payload)
	if err != nil || !h.Response || h.RCode != dnsmessage.RCodeSuccess {
		return DNSAnswer{}, false
	}
	q, err := d.Question()
	if err != nil || d.SkipAllQuestions() != nil {
		return DNSAnswer{}, false
	}
	a := DNSAnswer{Name: strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))}
	for len(a.Addresses) < maxDNSAddresses {
		addr, err := dnsAddress(&d)
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return DNSAnswer{}, false
		}
		if addr.IsValid() {
			a.Addresses = append(a.Addresses, addr)
		}
	}
	return a, len(a.Addresses) > 0
}

// dnsAddress reads the next answer; the address is invalid where it is none.
func dnsAddress(d *dnsmessage.Parser) (netip.Addr, error) {
	h, err := d.AnswerHeader()
	if err != nil {
		return netip.Addr{}, err
	}
	switch h.Type {
	case dnsmessage.TypeA:
		r, err := d.AResource()
		return netip.AddrFrom4(r.A), err
	case dnsmessage.TypeAAAA:
		r, err := d.AAAAResource()
		return netip.AddrFrom16(r.AAAA), err
	}
	return netip.Addr{}, d.SkipAnswer()
}
