package fabric

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger/fabric/pkcs11"
	"bellwether/internal/ledger/fabric/profile"
)

// Connection says how the channel is reached, and as whom. Peer, TLSCA, MSP, Cert,
// Key, Channel and Chaincode are needed; with a Profile the first three are not.
type Connection struct {
	Profile      string `json:"profile"`      // file: a connection profile of Fabric; the fields here go before it
	Organization string `json:"organization"` // its organisation; empty: the profile's client's
	Peer         string `json:"peer"`         // HOST:PORT of a peer of the own organisation
	ServerName   string `json:"server_name"`  // name in the peer's TLS certificate; empty: HOST
	TLSCA        string `json:"tls_ca"`       // file: certificate of the authority of the peer's TLS certificate, PEM; or the PEM text
	MSP          string `json:"msp"`          // the organisation's MSP ID
	Cert         string `json:"cert"`         // file: the identity's certificate, PEM
	Key          string `json:"key"`          // file: its private key, PKCS #8 PEM; Ed25519 or ECDSA; for its owner alone. Or a pkcs11: URI
	Signer       string `json:"signer"`       // file: the program that signs with a key in a token; empty: see package pkcs11
	Channel      string `json:"channel"`
	Chaincode    string `json:"chaincode"` // its name on the channel
}

// Validate says which field is missing. It reads no file.
func (c Connection) Validate() error {
	var errs []error
	for _, f := range []struct {
		name, value string
		profiled    bool // a profile may say it
	}{
		{"peer", c.Peer, true}, {"tls_ca", c.TLSCA, true}, {"msp", c.MSP, true},
		{"cert", c.Cert, false}, {"key", c.Key, false}, {"channel", c.Channel, false}, {"chaincode", c.Chaincode, false},
	} {
		if f.value == "" && (c.Profile == "" || !f.profiled) {
			errs = append(errs, fmt.Errorf("fabric.%s is missing", f.name))
		}
	}
	if c.Organization != "" && c.Profile == "" {
		errs = append(errs, errors.New("fabric.organization is given, which names one of a profile, and fabric.profile is not"))
	}
	if pkcs11.Is(c.Key) {
		if _, err := pkcs11.Parse(c.Key); err != nil {
			errs = append(errs, fmt.Errorf("fabric.key: %w", err))
		}
	} else if c.Signer != "" {
		errs = append(errs, errors.New("fabric.signer is given, and fabric.key is a file: only a key of the form pkcs11:… is used by a signing program"))
	}
	return errors.Join(errs...)
}

// resolve fills in what the profile says and the connection itself does not. TLS
// goes with its peer: with another peer than those of the profile it is not filled in.
func (c Connection) resolve() (Connection, error) {
	if c.Profile == "" {
		return c, c.Validate()
	}
	p, err := profile.Read(c.Profile)
	if err != nil {
		return c, fmt.Errorf("fabric.profile: %w", err)
	}
	msp, peers, err := p.Of(c.Organization)
	if err != nil {
		return c, fmt.Errorf("fabric.profile: %s: %w", c.Profile, err)
	}
	c.MSP = cmp.Or(c.MSP, msp)
	for _, e := range peers {
		if c.Peer == "" || c.Peer == e.Peer {
			c.Peer, c.ServerName, c.TLSCA = e.Peer, cmp.Or(c.ServerName, e.ServerName), cmp.Or(c.TLSCA, e.TLSCA)
			break
		}
	}
	if c.TLSCA == "" {
		return c, fmt.Errorf("fabric.tls_ca is missing: fabric.peer is %q, which is no peer of the organization in %s, so nothing there goes with it", c.Peer, c.Profile)
	}
	return c, c.Validate()
}

// transport reads the authority of the peer's TLS certificate.
func (c Connection) transport() (credentials.TransportCredentials, error) {
	text, from := []byte(c.TLSCA), "the text there"
	if !InlinePEM(c.TLSCA) {
		var err error
		if text, err = os.ReadFile(c.TLSCA); err != nil {
			return nil, fmt.Errorf("fabric.tls_ca: %w", err)
		}
		from = c.TLSCA
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("fabric.tls_ca: %s holds no PEM certificate", from)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}), nil
}

// InlinePEM reports a TLSCA that is the certificate itself and no file.
func InlinePEM(tlsCA string) bool { return strings.HasPrefix(strings.TrimSpace(tlsCA), "-----BEGIN ") }

// signer is who the driver is on the channel.
type signer struct {
	id    *identity.X509Identity
	cert  *x509.Certificate
	sign  identity.Sign
	hash  hash.Hash
	token *pkcs11.Key // nil: the key is a file
}

func (c Connection) signer(log *slog.Logger) (*signer, error) {
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
	switch s.cert.PublicKey.(type) {
	case ed25519.PublicKey:
		s.hash = hash.NONE
	case *ecdsa.PublicKey:
		s.hash = hash.SHA256
	default:
		return nil, fmt.Errorf("fabric.cert: %s is for a %T: want Ed25519 or ECDSA", c.Cert, s.cert.PublicKey)
	}
	if pkcs11.Is(c.Key) {
		return s, s.openToken(c, log)
	}
	return s, s.readKey(c)
}

// is reports whether that serialized identity is this one.
func (s *signer) is(identity []byte) bool {
	var id msp.SerializedIdentity
	return proto.Unmarshal(identity, &id) == nil && id.GetMspid() == s.id.MspID() && bytes.Equal(id.GetIdBytes(), s.id.Credentials())
}

func (s *signer) close() error {
	if s.token == nil {
		return nil
	}
	return s.token.Close()
}

// openToken has the signing program find the key.
func (s *signer) openToken(c Connection, log *slog.Logger) error {
	uri, err := pkcs11.Parse(c.Key)
	if err != nil {
		return fmt.Errorf("fabric.key: %w", err)
	}
	if s.token, err = pkcs11.Open(pkcs11.Options{URI: uri, Program: c.Signer, Public: s.cert.PublicKey, Log: log}); err != nil {
		return fmt.Errorf("fabric.key: %w", err)
	}
	s.sign = func(data []byte) ([]byte, error) {
		signature, err := s.token.Sign(data)
		if err != nil {
			return nil, &signError{err}
		}
		return signature, nil
	}
	return nil
}

// signError says that there is no signature; no peer was asked.
type signError struct{ err error }

func (e *signError) Error() string { return "fabric.key: " + e.err.Error() }
func (e *signError) Unwrap() error { return e.err }

func (s *signer) readKey(c Connection) error {
	key, err := c.keyFile()
	if err != nil {
		return err
	}
	own := false
	switch key := key.(type) {
	case ed25519.PrivateKey:
		own = key.Public().(ed25519.PublicKey).Equal(s.cert.PublicKey)
	case *ecdsa.PrivateKey:
		own = key.PublicKey.Equal(s.cert.PublicKey)
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
