package fabric

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hyperledger/fabric-gateway/pkg/identity"

	"bellwether/internal/ledger/fabric/pkcs11"
)

// Request makes a request for a certificate (PKCS #10, PEM) of a client with that
// name, for the connection's key in a file or a token. The certificate and the
// channel are not needed yet.
func (c Connection) Request(name string) ([]byte, error) {
	key, closer, err := c.requestKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"client"}},
	}, key)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("request for a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

func (c Connection) requestKey() (crypto.Signer, io.Closer, error) {
	if !pkcs11.Is(c.Key) {
		key, err := c.keyFile()
		if err != nil {
			return nil, nil, err
		}
		s, ok := key.(crypto.Signer)
		if !ok {
			return nil, nil, fmt.Errorf("fabric.key: %s holds a %T, which does not sign", c.Key, key)
		}
		return s, io.NopCloser(nil), nil
	}
	uri, err := pkcs11.Parse(c.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("fabric.key: %w", err)
	}
	key, err := pkcs11.Open(pkcs11.Options{URI: uri, Program: c.Signer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, fmt.Errorf("fabric.key: %w", err)
	}
	return tokenSigner{key}, key, nil
}

// tokenSigner signs as crypto/x509 asks for it.
type tokenSigner struct{ key *pkcs11.Key }

func (s tokenSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s tokenSigner) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(digest)
}

// keyFile reads a private key that only its owner may read.
func (c Connection) keyFile() (crypto.PrivateKey, error) {
	info, err := os.Stat(c.Key)
	if err != nil {
		return nil, fmt.Errorf("fabric.key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("fabric.key: others may use %s (mode %04o); allow only its owner: chmod 600 %s", c.Key, mode, c.Key)
	}
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return nil, fmt.Errorf("fabric.key: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(text)
	if err != nil {
		return nil, fmt.Errorf("fabric.key: %s: %w", c.Key, err)
	}
	return key, nil
}
