package packet

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// CommunityID gives the packet's Community ID, version 1 with seed 0: the name
// of a flow, the same in both directions, by which other monitors know it too
// (github.com/corelight/community-id-spec). Protocols other than TCP, UDP, SCTP
// and ICMP are named by addresses and protocol number. It is empty for frames
// without IP, for fragments other than the first, and where the header that
// holds the ports is cut off.
func CommunityID(p *Packet) string {
	if p.Kind != KindIPv4 && p.Kind != KindIPv6 {
		return ""
	}
	f := flow{src: p.Src.AsSlice(), dst: p.Dst.AsSlice()}
	switch p.Proto {
	case ProtoTCP, ProtoUDP, ProtoSCTP:
		if !p.HasPorts {
			return ""
		}
		f.srcPort, f.dstPort, f.ports = p.SrcPort, p.DstPort, true
	case ProtoICMP, ProtoICMPv6:
		if p.Fragment || p.Truncated {
			return ""
		}
		f.setICMP(p)
	}
	if f.reversed() {
		f.src, f.dst, f.srcPort, f.dstPort = f.dst, f.src, f.dstPort, f.srcPort
	}
	sum := sha1.Sum(f.append(make([]byte, 0, 40), p.Proto))
	return "1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// flow is the tuple that is hashed.
type flow struct {
	src, dst         []byte
	srcPort, dstPort uint16
	ports            bool // protocol has ports, or what stands for them
	oneWay           bool // has no opposite direction
}

// setICMP makes ports of type and code: a question and its answer are each
// other's port, anything else is a flow of one direction.
func (f *flow) setICMP(p *Packet) {
	counterpart, ok := icmpCounterpart(p.Proto, p.ICMPType)
	f.srcPort, f.dstPort, f.ports = uint16(p.ICMPType), uint16(counterpart), true
	if !ok {
		f.dstPort, f.oneWay = uint16(p.ICMPCode), true
	}
}

// icmpCounterpart pairs questions and answers of ICMP and ICMPv6.
func icmpCounterpart(proto, t uint8) (uint8, bool) {
	if proto == ProtoICMP {
		switch t {
		case 0, 8: // echo reply, echo
			return t ^ 8, true
		case 9, 13, 15, 17: // router advertisement, time stamp, information, mask
			return t + 1, true
		case 10, 14, 16, 18:
			return t - 1, true
		}
		return 0, false
	}
	switch t {
	case 128, 130, 133, 135, 139, 144: // echo, listener, router, neighbour, node information, home agent
		return t + 1, true
	case 129, 131, 134, 136, 140, 145:
		return t - 1, true
	}
	return 0, false
}

// reversed reports that source and destination must change places, so that the
// smaller address, then the smaller port, comes first.
func (f *flow) reversed() bool {
	if f.oneWay {
		return false
	}
	if c := bytes.Compare(f.src, f.dst); c != 0 {
		return c > 0
	}
	return f.srcPort > f.dstPort
}

func (f *flow) append(b []byte, proto uint8) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(b, 0) // seed
	b = append(append(b, f.src...), f.dst...)
	b = append(b, proto, 0)
	if f.ports {
		b = be.AppendUint16(be.AppendUint16(b, f.srcPort), f.dstPort)
	}
	return b
}
