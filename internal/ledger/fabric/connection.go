package fabric

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc/credentials"
)

// Connection says how the channel is reached, and as whom. Every field but
// ServerName is needed.
type Connection struct {
	Peer       string `json:"peer"`        // HOST:PORT of a peer of the own organisation
	ServerName string `json:"server_name"` // name in the peer's TLS certificate; empty: HOST
	TLSCA      string `json:"tls_ca"`      // file: certificate of the authority of the peer's TLS certificate, PEM
	MSP        string `json:"msp"`         // the organisation's MSP ID
	Cert       string `json:"cert"`        // file: the identity's certificate, PEM
	Key        string `json:"key"`         // file: its private key, PKCS #8 PEM; Ed25519 or ECDSA; for its owner alone
	Channel    string `json:"channel"`
	Chaincode  string `json:"chaincode"` // its name on the channel
}

// Validate says which field is missing.
func (c Connection) Validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{
		{"peer", c.Peer}, {"tls_ca", c.TLSCA}, {"msp", c.MSP}, {"cert", c.Cert}, {"key", c.Key}, {"channel", c.Channel}, {"chaincode", c.Chaincode},
	} {
		if f.value == "" {
			errs = append(errs, fmt.Errorf("fabric.%s is missing", f.name))
		}
	}
	return errors.Join(errs...)
}

// transport reads the authority of the peer's TLS certificate.
func (c Connection) transport() (credentials.TransportCredentials, error) {
	text, err := os.ReadFile(c.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("fabric.tls_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("fabric.tls_ca: %s holds no PEM certificate", c.TLSCA)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}), nil
}

// signer is who the driver is on the channel.
type signer struct {
	id   *identity.X509Identity
	cert *x509.Certificate
	sign identity.Sign
	hash hash.Hash
}

func (c Connection) signer() (*signer, error) {
	text, err := os.ReadFile(c.Cert)
	if err != nil {
		return nil, fmt.Errorf("fabric.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("fabric.cert: %s holds no PEM certificate", c.Cert)
	}
	s := &signer{}
	if s.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("fabric.cert: %s: %w", c.Cert, err)
	}
	if s.id, err = identity.NewX509Identity(c.MSP, s.cert); err != nil {
		return nil, err
	}
	return s, s.readKey(c)
}

func (s *signer) readKey(c Connection) error {
	info, err := os.Stat(c.Key)
	if err != nil {
		return fmt.Errorf("fabric.key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("fabric.key: others may use %s (mode %04o); allow only its owner: chmod 600 %s", c.Key, mode, c.Key)
	}
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return fmt.Errorf("fabric.key: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(text)
	if err != nil {
		return fmt.Errorf("fabric.key: %s: %w", c.Key, err)
	}
	own := false
	switch key := key.(type) {
	case ed25519.PrivateKey:
		s.hash, own = hash.NONE, key.Public().(ed25519.PublicKey).Equal(s.cert.PublicKey)
	case *ecdsa.PrivateKey:
		s.hash, own = hash.SHA256, key.PublicKey.Equal(s.cert.PublicKey)
	default:
		return fmt.Errorf("fabric.key: %s holds a %T: want Ed25519 or ECDSA", c.Key, key)
	}
	if !own {
		return fmt.Errorf("fabric.key: %s is not the key of the certificate %s", c.Key, c.Cert)
	}
	s.sign, err = identity.NewPrivateKeySign(key)
	return err
}

// ExpiryError says that an identity's certificate does not hold now.
type ExpiryError struct {
	File        string
	From, Until time.Time
	Now         time.Time
}

func (e *ExpiryError) Error() string {
	if e.Now.Before(e.From) {
		return fmt.Sprintf("certificate %s does not hold before %s, the clock says %s: is the clock right?", e.File, e.From.Format(time.RFC3339), e.Now.Format(time.RFC3339))
	}
	return fmt.Sprintf("certificate %s expired at %s, the clock says %s: have the organisation's authority issue a new one, or set the clock", e.File, e.Until.Format(time.RFC3339), e.Now.Format(time.RFC3339))
}

// holds is nil as long as the certificate may be used.
func (s *signer) holds(c Connection, now time.Time) error {
	if now.Before(s.cert.NotBefore) || now.After(s.cert.NotAfter) {
		return &ExpiryError{File: c.Cert, From: s.cert.NotBefore, Until: s.cert.NotAfter, Now: now}
	}
	return nil
}
