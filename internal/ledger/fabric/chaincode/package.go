package chaincode

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
)

// Package is what an organisation installs on its peers: where they find its
// chaincode service. Its bytes follow from its fields alone.
type Package struct {
	// Label names it for people: letters, digits and . + - _.
	Label string
	// Address is host:port of the service, as seen from the peer.
	Address string
	// RootCert is the PEM certificate of the authority of the service's TLS
	// certificate; empty: the service has no TLS.
	RootCert string
}

// connection is the file that a chaincode-as-a-service builder hands the peer.
type connection struct {
	Address     string `json:"address"`
	DialTimeout string `json:"dial_timeout"`
	TLSRequired bool   `json:"tls_required"`
	RootCert    string `json:"root_cert,omitempty"`
}

// metadata says what kind of package it is.
type metadata struct {
	Type  string `json:"type"`
	Label string `json:"label"`
}

// Kind is the type that the package's metadata gives, by which a peer's builder
// knows a chaincode that runs as a service.
const Kind = "ccaas"

// label is what Fabric takes for one.
var label = regexp.MustCompile(`^[[:alnum:]][[:alnum:]_.+-]*$`)

// Bytes gives the package, a tar.gz.
func (p Package) Bytes() ([]byte, error) {
	if !label.MatchString(p.Label) {
		return nil, fmt.Errorf("chaincode package: label %q: want letters and digits, and . + - _ behind them", p.Label)
	}
	if host, port, err := net.SplitHostPort(p.Address); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("chaincode package: address %q: want HOST:PORT of the service, as the peer sees it", p.Address)
	}
	if err := certificates(p.RootCert); p.RootCert != "" && err != nil {
		return nil, fmt.Errorf("chaincode package: TLS authority: %w", err)
	}
	conn, err := json.Marshal(connection{Address: p.Address, DialTimeout: "10s", TLSRequired: p.RootCert != "", RootCert: p.RootCert})
	if err != nil {
		return nil, err
	}
	code, err := archive(file{"connection.json", conn})
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(metadata{Kind, p.Label})
	if err != nil {
		return nil, err
	}
	return archive(file{"metadata.json", meta}, file{"code.tar.gz", code})
}

// certificates makes sure that a text holds certificates and nothing else: every
// organisation's administrators and peers can read what a package holds.
func certificates(text string) error {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return errors.New("want certificates in PEM and nothing else, least of all a private key")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
		if len(bytes.TrimSpace(rest)) == 0 {
			return nil
		}
	}
}

// ID is the name that a peer gives the package once it is installed: its label
// and the SHA-256 of its bytes.
func (p Package) ID() (string, error) {
	raw, err := p.Bytes()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return p.Label + ":" + hex.EncodeToString(sum[:]), nil
}

type file struct {
	name    string
	content []byte
}

// archive gives a tar.gz that depends on the files' names and content alone. It
// does not compress: what a compressor gives differs between versions of Go.
func archive(files ...file) ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	tarred := tar.NewWriter(zip)
	for _, f := range files {
		if err := tarred.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := tarred.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := tarred.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
