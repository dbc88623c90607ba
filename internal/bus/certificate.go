package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/durable"
	"bellwether/internal/zone"
)

// certificateFile holds the hub's TLS key and certificate.
const certificateFile = "tls.pem"

// Certificate is the hub's TLS identity: an ECDSA key on P-256 and a certificate
// that it signed itself. Followers know it by the pin alone; nobody looks at its
// dates and names.
type Certificate struct {
	Pin  zone.Hash // SHA-256 of the SubjectPublicKeyInfo
	pair tls.Certificate
}

// LoadCertificate loads the certificate in dir, or makes it once. The file may be
// read by its owner only.
func LoadCertificate(dir string) (*Certificate, error) {
	c, err := ReadCertificate(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	text, err := makeCertificate()
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, certificateFile), text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return ReadCertificate(dir)
}

// ReadCertificate is LoadCertificate that makes none.
func ReadCertificate(dir string) (*Certificate, error) {
	path := filepath.Join(dir, certificateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("TLS certificate: others may read %s: allow only its owner: chmod 600 %s", path, path)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %s: %w; restore it from a copy, or remove it: then every follower needs a new invite", path, err)
	}
	return &Certificate{Pin: sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo), pair: pair}, nil
}

func makeCertificate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bellwether"}, DNSNames: []string{"bellwether"},
		NotBefore: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, section 4.1.2.5: no end
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

// config is how the hub speaks TLS: version 1.3, and HTTP/1.1 in it.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.pair}, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
}
