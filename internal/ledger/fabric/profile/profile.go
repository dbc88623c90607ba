// Package profile reads connection profiles of Hyperledger Fabric: the files, in YAML
// or JSON, by which Fabric's SDKs, its consoles and its test network say where an
// organisation's peers are.
//
// Of a profile it takes what a client of the Gateway service needs: the
// organisation's MSP and its peers with their TLS. The rest (channels, orderers,
// certificate authorities, timeouts, unknown fields) is left alone. A profile says
// nothing about identities.
package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Profile is a connection profile, as far as it is used here.
type Profile struct {
	Name          string                  `json:"name"`
	Version       string                  `json:"version"`
	Client        Client                  `json:"client"`
	Organizations map[string]Organization `json:"organizations"`
	Peers         map[string]Peer         `json:"peers"`
}

// Client is for whom the profile was written.
type Client struct {
	Organization string `json:"organization"`
}

// Organization is a member of the network.
type Organization struct {
	MSP   string   `json:"mspid"`
	Peers []string `json:"peers"` // names in Profile.Peers
}

// Peer is where a peer is reached.
type Peer struct {
	URL         string      `json:"url"` // grpcs://HOST:PORT
	TLSCA       TLSCA       `json:"tlsCACerts"`
	GRPCOptions GRPCOptions `json:"grpcOptions,omitempty"`
}

// TLSCA is the authority of a TLS certificate: one of the two.
type TLSCA struct {
	Path string `json:"path,omitempty"` // file, PEM
	PEM  string `json:"pem,omitempty"`
}

// GRPCOptions has the two spellings of the name in the peer's TLS certificate.
type GRPCOptions struct {
	ServerName string `json:"ssl-target-name-override,omitempty"`
	HostName   string `json:"hostnameOverride,omitempty"`
}

// Endpoint is a peer as the ledger uses it.
type Endpoint struct {
	Name       string // in the profile
	Peer       string // HOST:PORT
	ServerName string // name in its TLS certificate; empty: HOST
	TLSCA      string // file, or the PEM text itself
}

// maxBytes of a profile.
const maxBytes = 1 << 20

// Read reads a profile's file. Relative paths in it start from its directory.
func Read(path string) (*Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	p, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for name, peer := range p.Peers {
		if ca := peer.TLSCA.Path; ca != "" && !filepath.IsAbs(ca) {
			peer.TLSCA.Path = filepath.Join(filepath.Dir(path), ca)
			p.Peers[name] = peer
		}
	}
	return p, nil
}

// Parse reads a profile.
func Parse(b []byte) (*Profile, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("it is longer than %d bytes: is it a connection profile?", maxBytes)
	}
	var p Profile
	var err error
	if b = bytes.TrimSpace(b); bytes.HasPrefix(b, []byte("{")) {
		err = json.Unmarshal(b, &p)
	} else {
		err = unmarshal(b, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("not a connection profile: %w", err)
	}
	if len(p.Organizations) == 0 {
		return nil, errors.New("it has no organizations: is it a connection profile?")
	}
	return &p, nil
}

// unmarshal decodes YAML; the library panics on some malformed texts.
func unmarshal(b []byte, p *Profile) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML (%v)", r)
		}
	}()
	if err := yaml.Unmarshal(b, p); err != nil {
		return errors.New(yaml.FormatError(err, false, false))
	}
	return nil
}

// Of gives the MSP ID and the peers of an organisation, by its name in the profile;
// empty means the client's, or the only one.
func (p *Profile) Of(organization string) (msp string, peers []Endpoint, err error) {
	name, o, err := p.organization(organization)
	if err != nil {
		return "", nil, err
	}
	if o.MSP == "" {
		return "", nil, fmt.Errorf("organizations.%s.mspid is missing", name)
	}
	if len(o.Peers) == 0 {
		return "", nil, fmt.Errorf("organizations.%s.peers names no peer", name)
	}
	for _, peer := range o.Peers {
		e, err := p.endpoint(peer)
		if err != nil {
			return "", nil, err
		}
		peers = append(peers, e)
	}
	return o.MSP, peers, nil
}

func (p *Profile) organization(name string) (string, Organization, error) {
	all := slices.Sorted(maps.Keys(p.Organizations))
	from := ""
	switch {
	case name != "":
	case p.Client.Organization != "":
		name, from = p.Client.Organization, ", which client.organization names"
	case len(all) == 1:
		name = all[0]
	default:
		return "", Organization{}, fmt.Errorf("client.organization is missing: say by fabric.organization which of %s is meant", strings.Join(all, ", "))
	}
	o, ok := p.Organizations[name]
	if !ok {
		return "", o, fmt.Errorf("organizations has no %q%s: it has %s", name, from, strings.Join(all, ", "))
	}
	return name, o, nil
}

// endpoint reads one peer.
func (p *Profile) endpoint(name string) (Endpoint, error) {
	peer, ok := p.Peers[name]
	if !ok {
		return Endpoint{}, fmt.Errorf("peers has no %q, which its organization names", name)
	}
	address, err := peer.address()
	if err != nil {
		return Endpoint{}, fmt.Errorf("peers.%s.url %w", name, err)
	}
	e := Endpoint{Name: name, Peer: address, ServerName: peer.GRPCOptions.ServerName, TLSCA: strings.TrimSpace(peer.TLSCA.PEM)}
	if e.ServerName == "" {
		e.ServerName = peer.GRPCOptions.HostName
	}
	switch ca := peer.TLSCA; {
	case ca.Path != "" && ca.PEM != "":
		return Endpoint{}, fmt.Errorf("peers.%s.tlsCACerts has both path and pem: want one of them", name)
	case strings.Contains(ca.Path, "${"):
		return Endpoint{}, fmt.Errorf("peers.%s.tlsCACerts.path is %q, and variables are not filled in: write the path", name, ca.Path)
	case ca.Path != "":
		e.TLSCA = ca.Path
	case ca.PEM == "":
		return Endpoint{}, fmt.Errorf("peers.%s.tlsCACerts has neither path nor pem", name)
	case !strings.HasPrefix(e.TLSCA, pemStart):
		return Endpoint{}, fmt.Errorf("peers.%s.tlsCACerts.pem does not begin with %q", name, pemStart)
	}
	return e, nil
}

// pemStart begins the text of a certificate.
const pemStart = "-----BEGIN "

// address is HOST:PORT of a peer.
func (p Peer) address() (string, error) {
	address := p.URL
	if strings.Contains(p.URL, "://") {
		u, err := url.Parse(p.URL)
		switch {
		case err != nil:
			return "", fmt.Errorf("is %q: want grpcs://HOST:PORT", p.URL)
		case u.Scheme == "grpc":
			return "", fmt.Errorf("is %q, a peer without TLS: want one with TLS, grpcs://HOST:PORT", p.URL)
		case u.Scheme != "grpcs" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
			return "", fmt.Errorf("is %q: want grpcs://HOST:PORT", p.URL)
		}
		address = u.Host
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return "", fmt.Errorf("is %q: want grpcs://HOST:PORT", p.URL)
	}
	return address, nil
}

// YAML writes the profile as Fabric's tools read it.
func (p Profile) YAML() ([]byte, error) {
	return yaml.MarshalWithOptions(p, yaml.UseLiteralStyleIfMultiline(true))
}
