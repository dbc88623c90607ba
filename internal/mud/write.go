package mud

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The names of the lists that Encode writes.
func listName(from, v6 bool) string {
	name := "to-device"
	if from {
		name = "from-device"
	}
	if v6 {
		return name + "-ipv6"
	}
	return name + "-ipv4"
}

// object with a fixed order of members, as encoding/json writes structs.
type (
	jsonFile struct {
		Mud  jsonMud  `json:"ietf-mud:mud"`
		ACLs jsonACLs `json:"ietf-access-control-list:acls"`
	}
	jsonMud struct {
		Version       int        `json:"mud-version"`
		URL           string     `json:"mud-url"`
		LastUpdate    string     `json:"last-update"`
		Signature     string     `json:"mud-signature,omitempty"`
		CacheValidity int        `json:"cache-validity"`
		Supported     bool       `json:"is-supported"`
		Systeminfo    string     `json:"systeminfo,omitempty"`
		Manufacturer  string     `json:"mfg-name,omitempty"`
		Model         string     `json:"model-name,omitempty"`
		Firmware      string     `json:"firmware-rev,omitempty"`
		Software      string     `json:"software-rev,omitempty"`
		From          jsonPolicy `json:"from-device-policy"`
		To            jsonPolicy `json:"to-device-policy"`
	}
	jsonPolicy struct {
		Lists struct {
			List []jsonName `json:"access-list"`
		} `json:"access-lists"`
	}
	jsonName struct {
		Name string `json:"name"`
	}
	jsonACLs struct {
		ACL []jsonACL `json:"acl"`
	}
	jsonACL struct {
		Name string `json:"name"`
		Type string `json:"type"`
		Aces struct {
			Ace []jsonACE `json:"ace"`
		} `json:"aces"`
	}
	jsonACE struct {
		Name    string                    `json:"name"`
		Matches map[string]map[string]any `json:"matches"` // a map is written in the order of its keys
		Actions map[string]string         `json:"actions"`
	}
)

// Encode writes a file as JSON, the same for the same file. What a rule cannot
// check, and what was ignored, is not kept: a file of others is stored as it was.
func Encode(f *File) ([]byte, error) {
	out := jsonFile{Mud: jsonMud{Version: f.Version, URL: f.URL, LastUpdate: f.LastUpdate, Signature: f.Signature, CacheValidity: f.CacheValidity,
		Supported: f.Supported, Systeminfo: f.Systeminfo, Manufacturer: f.Manufacturer, Model: f.Model, Firmware: f.Firmware, Software: f.Software}}
	out.Mud.From = out.lists(f.Profile.From, true)
	out.Mud.To = out.lists(f.Profile.To, false)
	if out.ACLs.ACL == nil {
		out.ACLs.ACL = []jsonACL{}
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("mud: %w", err)
	}
	if b = append(b, '\n'); len(b) > MaxFile {
		return nil, fmt.Errorf("mud: %d rules make %d bytes, and at most %d are read", len(f.Profile.From)+len(f.Profile.To), len(b), MaxFile)
	}
	if again, err := Parse(b); err != nil {
		return nil, err
	} else if twice, _ := json.Marshal(again.Profile); !bytes.Equal(twice, mustProfile(f)) {
		return nil, fmt.Errorf("mud: the rules cannot be written as a MUD file")
	}
	return b, nil
}

// mustProfile gives the rules as they are compared.
func mustProfile(f *File) []byte {
	b, _ := json.Marshal(f.Profile) // of plain structs
	return b
}

// lists adds the access lists of one direction, one for each family in use.
func (out *jsonFile) lists(rules []Rule, from bool) (p jsonPolicy) {
	p.Lists.List = []jsonName{}
	for _, v6 := range []bool{false, true} {
		acl := jsonACL{Name: listName(from, v6), Type: "ipv4-acl-type"}
		if v6 {
			acl.Type = "ipv6-acl-type"
		}
		for i := range rules {
			if rules[i].IPv6 == v6 {
				acl.Aces.Ace = append(acl.Aces.Ace, rules[i].json(from))
			}
		}
		if len(acl.Aces.Ace) > 0 {
			out.ACLs.ACL = append(out.ACLs.ACL, acl)
			p.Lists.List = append(p.Lists.List, jsonName{acl.Name})
		}
	}
	return p
}

func (r *Rule) json(from bool) jsonACE {
	a := jsonACE{Name: r.Name, Matches: map[string]map[string]any{}, Actions: map[string]string{"forwarding": "accept"}}
	if r.Drop {
		a.Actions["forwarding"] = "drop"
	}
	local, peer, name := "source", "destination", "ietf-acldns:dst-dnsname"
	if !from {
		local, peer, name = peer, local, "ietf-acldns:src-dnsname"
	}
	net, family := map[string]any{}, "ipv4"
	if r.IPv6 {
		family = "ipv6"
	}
	if r.Proto >= 0 {
		net["protocol"] = r.Proto
	}
	if r.Local.IsValid() {
		net[local+"-"+family+"-network"] = r.Local.String()
	}
	switch {
	case r.Peer.Name != "":
		net[name] = r.Peer.Name
	case r.Peer.Net.IsValid():
		net[peer+"-"+family+"-network"] = r.Peer.Net.String()
	case r.Peer.Of != "":
		a.Matches["ietf-mud:mud"] = map[string]any{r.Peer.Class: r.Peer.Of}
	case r.Peer.Class != "":
		a.Matches["ietf-mud:mud"] = map[string]any{r.Peer.Class: []any{nil}}
	}
	if len(net) > 0 {
		a.Matches[family] = net
	}
	if name, m := r.transport(local, peer); len(m) > 0 {
		a.Matches[name] = m
	}
	return a
}

// transport gives the matches above IP.
func (r *Rule) transport(local, peer string) (name string, m map[string]any) {
	m = map[string]any{}
	switch r.Proto {
	case protoTCP, protoUDP:
		name = map[int]string{protoTCP: "tcp", protoUDP: "udp"}[r.Proto]
		for end, p := range map[string]Ports{local + "-port": r.LocalPort, peer + "-port": r.PeerPort} {
			if p.Set {
				m[end] = p.json()
			}
		}
		if r.Initiated != "" {
			m["ietf-mud:direction-initiated"] = r.Initiated
		}
	case protoICMP, protoICMPv6:
		name = "icmp"
		if r.ICMPType >= 0 {
			m["type"] = r.ICMPType
		}
		if r.ICMPCode >= 0 {
			m["code"] = r.ICMPCode
		}
	}
	return name, m
}

func (p Ports) json() map[string]any {
	switch {
	case p.Not:
		return map[string]any{"operator": "neq", "port": p.Low}
	case p.Low == p.High:
		return map[string]any{"operator": "eq", "port": p.Low}
	}
	return map[string]any{"lower-port": p.Low, "upper-port": p.High}
}
