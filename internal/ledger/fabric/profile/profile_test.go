package profile

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"

// inTheTestNetworksWay is a profile with the fields of those that Fabric's test
// network writes for its organisations.
const inTheTestNetworksWay = `---
name: test-network-org1
version: 1.0.0
client:
  organization: Org1
  connection:
    timeout:
      peer:
        endorser: '300'
organizations:
  Org1:
    mspid: Org1MSP
    peers:
    - peer0.org1.example.com
    certificateAuthorities:
    - ca.org1.example.com
peers:
  peer0.org1.example.com:
    url: grpcs://localhost:7051
    tlsCACerts:
      pem: |
          -----BEGIN CERTIFICATE-----
          MIIB
          -----END CERTIFICATE-----
    grpcOptions:
      ssl-target-name-override: peer0.org1.example.com
      hostnameOverride: other.example.com
certificateAuthorities:
  ca.org1.example.com:
    url: https://localhost:7054
    tlsCACerts:
      pem:
        - |
          -----BEGIN CERTIFICATE-----
          MIIB
          -----END CERTIFICATE-----
    httpOptions:
      verify: false
`

const inJSON = `{
	"name": "x", "version": "1.1",
	"client": {"organization": "A"},
	"channels": {"c": {"peers": {"p1": {"endorsingPeer": true}}}},
	"organizations": {"A": {"mspid": "AMSP", "peers": ["p2", "p1"], "adminPrivateKey": {"pem": "x"}}, "B": {"mspid": "BMSP", "peers": ["p3"]}},
	"orderers": {"o": {"url": "grpcs://o:7050"}},
	"peers": {
		"p1": {"url": "grpcs://p1.example:7051", "tlsCACerts": {"path": "tls/ca.pem"}, "grpcOptions": {"hostnameOverride": "p1", "grpc.keepalive_timeout_ms": 20000}},
		"p2": {"url": "grpcs://[::1]:7051/", "tlsCACerts": {"path": "/abs/ca.pem"}},
		"p3": {"url": "b:7051", "tlsCACerts": {"pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}}
	}
}`

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": inTheTestNetworksWay, "a.json": inJSON} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		file, organization, msp string
		peers                   []Endpoint
	}{
		{"a.yaml", "", "Org1MSP", []Endpoint{{"peer0.org1.example.com", "localhost:7051", "peer0.org1.example.com", pem}}},
		{"a.json", "", "AMSP", []Endpoint{{"p2", "[::1]:7051", "", "/abs/ca.pem"}, {"p1", "p1.example:7051", "p1", filepath.Join(dir, "tls/ca.pem")}}},
		{"a.json", "B", "BMSP", []Endpoint{{"p3", "b:7051", "", pem}}},
	} {
		p, err := Read(filepath.Join(dir, tt.file))
		if err != nil {
			t.Fatal(err)
		}
		msp, peers, err := p.Of(tt.organization)
		if err != nil || msp != tt.msp || !reflect.DeepEqual(peers, tt.peers) {
			t.Errorf("%s %s: %q, %+v, %v", tt.file, tt.organization, msp, peers, err)
		}
	}
}

func TestErrors(t *testing.T) {
	const head = "organizations: {A: {mspid: AMSP, peers: [p]}}\n"
	peer := func(text string) string { return head + "peers: {p: {" + text + "}}" }
	const ca = "tlsCACerts: {path: /ca}"
	for text, says := range map[string]string{
		"":                                              "no organizations",
		"ledger: {driver: fabric}":                      "no organizations",
		"organizations: [":                              "not a connection profile",
		"organizations: !!seq":                          "",
		`{"organizations": 3}`:                          "organizations",
		`{"organizations": {`:                           "not a connection profile",
		"organizations: {A: {}, B: {}}":                 "client.organization is missing: say by fabric.organization which of A, B",
		"client: {organization: C}\n" + head:            `organizations has no "C", which client.organization names: it has A`,
		"organizations: {A: {peers: [p]}}":              "organizations.A.mspid is missing",
		"organizations: {A: {mspid: M}}":                "organizations.A.peers names no peer",
		head:                                            `peers has no "p", which its organization names`,
		peer(ca):                                        `peers.p.url is "": want grpcs://HOST:PORT`,
		peer("url: 'grpcs://h', " + ca):                 "want grpcs://HOST:PORT",
		peer("url: 'https://h:1', " + ca):               "want grpcs://HOST:PORT",
		peer("url: 'grpcs://u:p@h:1', " + ca):           "want grpcs://HOST:PORT",
		peer("url: 'grpc://h:1', " + ca):                "a peer without TLS",
		peer("url: 'grpcs://h:1'"):                      "peers.p.tlsCACerts has neither path nor pem",
		peer("url: h:1, tlsCACerts: {pem: x}"):          `peers.p.tlsCACerts.pem does not begin with "-----BEGIN "`,
		peer("url: h:1, tlsCACerts: {pem: x, path: y}"): "both path and pem",
		peer("url: h:1, tlsCACerts: {path: '${HOME}/ca.pem'}"): "variables are not filled in",
		strings.Repeat(" ", maxBytes) + "#":                    "longer than",
	} {
		p, err := Parse([]byte(text))
		if err == nil {
			_, _, err = p.Of("")
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
	p, err := Parse([]byte(inJSON))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Of("C"); err == nil || !strings.Contains(err.Error(), `organizations has no "C": it has A, B`) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(path, []byte("- a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(inTheTestNetworksWay))
	f.Add([]byte(inJSON))
	f.Add([]byte("organizations: {A: {mspid: M, peers: [p]}}\npeers: {p: {url: h:1, tlsCACerts: {path: /ca}}}"))
	f.Add([]byte("organizations: &a {A: {mspid: M, peers: *a}}\n"))
	f.Add([]byte("organizations: !!seq\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if (err == nil) != (p != nil) {
			t.Fatalf("%+v, %v", p, err)
		}
		if err != nil {
			return
		}
		msp, peers, err := p.Of("")
		if err != nil {
			return
		}
		if msp == "" || len(peers) == 0 {
			t.Errorf("%q, %+v", msp, peers)
		}
	})
}

// TestYAML: what is written is read as the same.
func TestYAML(t *testing.T) {
	for _, text := range []string{inTheTestNetworksWay, inJSON} {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		written, err := p.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		for name := range p.Organizations {
			msp, peers, err := p.Of(name)
			if m, e, errAgain := again.Of(name); err != nil || errAgain != nil || m != msp || !reflect.DeepEqual(e, peers) {
				t.Errorf("%q, %+v, %v, it was %q, %+v, %v\n%s", m, e, errAgain, msp, peers, err, written)
			}
		}
	}
}
