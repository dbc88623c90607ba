package network

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is how long certificates hold.
const lifetime = 10 * 365 * 24 * time.Hour

// authority signs certificates of one organisation.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte // the certificate
}

// The roles that Fabric reads from a certificate's organisational unit.
const (
	roleAdmin   = "admin"
	roleClient  = "client"
	rolePeer    = "peer"
	roleOrderer = "orderer"
)

// newAuthority makes an authority and keeps it in dir as NAME.pem and NAME.key.
func newAuthority(dir, name, organisation string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name + "." + organisation, Organization: []string{organisation}},
		NotBefore: from, NotAfter: from.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{key: key}
	if a.pem, err = sign(t, t, key.Public(), key); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(a.pem)
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	return a, writePair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), a.pem, key)
}

// readAuthority finds what newAuthority made.
func readAuthority(dir, name string) (*authority, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".pem"))
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	a := &authority{pem: text}
	block, _ := pem.Decode(text)
	private, _ := pem.Decode(secret)
	if block == nil || private == nil {
		return nil, fmt.Errorf("%s: not a PEM file", filepath.Join(dir, name))
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		return nil, err
	}
	a.key, _ = key.(crypto.Signer)
	return a, nil
}

// issue signs an identity with that role. It does not hold before its authority.
func (a *authority) issue(name, role string, key crypto.PublicKey, until time.Time) ([]byte, error) {
	return sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: name, OrganizationalUnit: []string{role}},
		NotBefore: a.cert.NotBefore, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
	}, a.cert, key, a.key)
}

// issueTLS signs a certificate for both ends of a connection to an address of this machine.
func (a *authority) issueTLS(name, host string, key crypto.PublicKey) ([]byte, error) {
	return sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.ParseIP(host)},
	}, a.cert, key, a.key)
}

// sign fills in the serial number and gives the certificate as PEM.
func sign(t, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	serial[0] &= 0x7f
	t.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", t.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// writePair writes a certificate and its private key, the key for its owner alone.
func writePair(certPath, keyPath string, cert []byte, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := write(certPath, cert, 0o644); err != nil {
		return err
	}
	return write(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// write makes the directories above the file too.
func write(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}

// units tells Fabric to read roles from certificates.
const units = `NodeOUs:
  Enable: true
  ClientOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: client}
  PeerOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: peer}
  AdminOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: admin}
  OrdererOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: orderer}
`

// keeper makes the identities of one organisation.
type keeper struct {
	ca, tls *authority
	host    string // where its nodes listen
}

func newKeeper(dir, organisation, host string) (*keeper, error) {
	ca, err := newAuthority(dir, "ca", organisation)
	if err != nil {
		return nil, err
	}
	tls, err := newAuthority(dir, "tlsca", organisation)
	if err != nil {
		return nil, err
	}
	k := &keeper{ca, tls, host}
	return k, k.writeMSP(filepath.Join(dir, "msp"))
}

// writeMSP writes the public part of an MSP: who belongs to the organisation.
func (k *keeper) writeMSP(dir string) error {
	for name, content := range map[string][]byte{"cacerts/ca.pem": k.ca.pem, "tlscacerts/tlsca.pem": k.tls.pem, "config.yaml": []byte(units)} {
		if err := write(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// identity writes an MSP directory with an identity in it.
func (k *keeper) identity(dir, name, role string) error {
	if err := k.writeMSP(dir); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := k.ca.issue(name, role, key.Public(), k.ca.cert.NotAfter)
	if err != nil {
		return err
	}
	return writePair(filepath.Join(dir, "signcerts", "cert.pem"), filepath.Join(dir, "keystore", "key.pem"), cert, key)
}

// server writes the TLS files of a node.
func (k *keeper) server(dir, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := k.tls.issueTLS(name, k.host, key.Public())
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "ca.crt"), k.tls.pem, 0o644); err != nil {
		return err
	}
	return writePair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), cert, key)
}

// client writes an Ed25519 identity for Bellwether: cert.pem and key.pem.
func (k *keeper) client(dir, name string, until time.Time) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	cert, err := k.ca.issue(name, roleClient, key.Public(), until)
	if err != nil {
		return err
	}
	return writePair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), cert, key)
}
