package proof

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"bellwether/internal/contract"
	"bellwether/internal/mud"
	"bellwether/internal/zone"
)

// Policy is the network policy that the alert's evidence was held against.
type Policy struct {
	Set   Entry  `json:"set"`   // the transaction that gave it to the device
	File  []byte `json:"file"`  // the MUD file
	Names []Name `json:"names"` // what its names stood for, in order
}

// Name is a DNS name and the addresses that it stood for.
type Name struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
}

// policy puts it together, if the alert speaks of one and its file is there.
func (s *Source) policy(alert zone.Alert) (*Policy, error) {
	if alert.Network == nil || s.Policy == nil {
		return nil, nil
	}
	file, names, err := s.Policy(alert.Device, alert.Network.SHA256, alert.Network.Names)
	if err != nil || file == nil {
		return nil, err
	}
	p := &Policy{File: file, Names: []Name{}}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p.Names = append(p.Names, Name{name, names[name]})
	}
	return p, nil
}

// checkPolicy holds the evidence against the network policy again.
func (c *checker) checkPolicy() (string, error) {
	said, p := c.b.Alert.Network, c.b.Policy
	switch {
	case said == nil:
		return "", failf("policy", "the alert speaks of no network policy")
	case p == nil:
		c.warning = true
		return fmt.Sprintf("what lies outside network policy %s is the gateway's word: the bundle does not hold it", said.SHA256.Short()), nil
	}
	s, err := c.entry("policy.set", &p.Set)
	if err != nil {
		return "", err
	}
	body, ok := s.Tx.Body.(*contract.NetworkPolicySet)
	file := zone.Hash(sha256.Sum256(p.File))
	switch {
	case !ok || s.Tx.Device != c.vtx.Device || s.Tx.N >= c.vtx.N:
		return "", failf("policy.set.tx", "it gives %s no network policy, or not before the verdict", c.vtx.Device)
	case file != body.Digest:
		return "", failf("policy.file", "its digest is %s, the ledger says %s", file.Short(), body.Digest.Short())
	case said.SHA256 != file:
		return "", failf("alert.network_policy.sha256", "it is %s, the file's is %s", said.SHA256.Short(), file.Short())
	}
	f, err := mud.Parse(p.File)
	if err != nil {
		return "", failf("policy.file", "%v", err)
	}
	names, err := c.policyNames()
	if err != nil {
		return "", err
	}
	now, err := f.Profile.OfAlert(file, names, c.rows)
	if err != nil {
		return "", failf("policy", "%v", err)
	}
	if err := sameReport(said.Evidence, now.Evidence); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of network policy %s; that it was still the device's is the gateway's word", now.Evidence, file.Short()), nil
}

// policyNames gives what names stood for, if they are those that the alert names.
func (c *checker) policyNames() (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	for i, n := range c.b.Policy.Names {
		if i > 0 && n.Name <= c.b.Policy.Names[i-1].Name {
			return nil, failf(fmt.Sprintf("policy.names[%d].name", i), "it does not follow on the one before")
		}
		names[n.Name] = n.Addresses
	}
	if digest := mud.NamesDigest(names); digest != c.b.Alert.Network.Names {
		if of, err := c.b.Alert.Digest(); err != nil || of != c.verdict.Alert {
			return nil, failf("alert.network_policy.names or policy.names", "they have the digest %s, the alert says %s", digest.Short(), c.b.Alert.Network.Names.Short())
		}
		return nil, failf("policy.names", "they are not those that the alert names")
	}
	return names, nil
}

// sameReport compares what the alert says of the evidence with what was just found.
func sameReport(said, found zone.NetworkReport) error {
	const field = "alert.network_policy.evidence"
	for _, f := range []struct {
		name      string
		have, got int
	}{
		{"packets", said.Packets, found.Packets}, {"inside", said.Inside, found.Inside}, {"outside", said.Outside, found.Outside},
		{"unchecked", said.Unchecked, found.Unchecked}, {"exempt", said.Exempt, found.Exempt}, {"more", said.More, found.More},
	} {
		if f.have != f.got {
			return failf(field+"."+f.name, "it says %d, the evidence %d", f.have, f.got)
		}
	}
	for i := range max(len(said.Named), len(found.Named)) {
		if i >= len(said.Named) || i >= len(found.Named) {
			return failf(field+".named", "it names %d services, the evidence %d", len(said.Named), len(found.Named))
		}
		if name := unlike(said.Named[i], found.Named[i]); name != "" {
			return failf(fmt.Sprintf("%s.named[%d].%s", field, i, name), "it says %q, the evidence %q", said.Named[i], found.Named[i])
		}
	}
	return nil
}

// unlike names the first field in which two services differ, "" if none.
func unlike(a, b zone.Strange) string {
	switch {
	case a.Proto != b.Proto:
		return "proto"
	case a.Port != b.Port:
		return "port"
	case a.Hosts != b.Hosts:
		return "hosts"
	case a.Packets != b.Packets:
		return "packets"
	case a.First != b.First:
		return "first"
	}
	return ""
}
