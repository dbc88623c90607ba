package mud

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/digitorus/pkcs7"

	"bellwether/internal/zone"
)

// maxSignature is more than a detached signature has bytes.
const maxSignature = 64 << 10

// Certificate makes the certificate that a zone's key signs MUD files under: a
// self-signed one (RFC 5280) without an end, the same for the same key, name and
// moment. Whoever knows the zone's key needs nothing else of it.
func Certificate(key crypto.Signer, name string, from zone.Time) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("mud: a key of another kind, %T: want Ed25519", key.Public())
	}
	id := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, id[:15]...)), Subject: pkix.Name{CommonName: name},
		NotBefore: from.Std().Truncate(time.Second), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, section 4.1.2.5: no end
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, SubjectKeyId: id[:20],
	}
	der, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		return nil, fmt.Errorf("mud: certificate: %w", err)
	}
	return der, nil
}

// Sign makes the detached signature of a MUD file that RFC 8520, section 13.1,
// asks for: CMS SignedData in DER (RFC 5652), with Ed25519 (RFC 8419) and
// without signed attributes, so that the signature's 64 bytes are Ed25519 over
// the file as it is, and the same whenever it is made.
func Sign(file []byte, key crypto.Signer, certificate []byte) ([]byte, error) {
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("mud: certificate: %w", err)
	}
	s, err := pkcs7.NewSignedData(file)
	if err != nil {
		return nil, fmt.Errorf("mud: sign: %w", err)
	}
	s.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA512)
	if err := s.SignWithoutAttr(c, key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("mud: sign: %w", err)
	}
	s.Detach()
	return s.Finish()
}

// Verify checks a detached signature of a file and says who signed it: the
// certificate that the signature carries. It says nothing of who that is: compare
// the key, or hold the certificate against those that are trusted.
func Verify(file, signature []byte) (signer *x509.Certificate, err error) {
	defer func() {
		if r := recover(); r != nil { // what is read may come from anybody; the parser is not ours
			signer, err = nil, errors.New("mud: the signature is damaged")
		}
	}()
	if len(signature) > maxSignature {
		return nil, fmt.Errorf("mud: a signature of %d bytes: at most %d are read", len(signature), maxSignature)
	}
	p, err := pkcs7.Parse(signature)
	if err != nil {
		return nil, fmt.Errorf("mud: this is not a detached signature (CMS, DER): %w", err)
	}
	if len(p.Content) > 0 && !bytes.Equal(p.Content, file) {
		return nil, errors.New("mud: the signature is of another file, which it holds")
	}
	signer = p.GetOnlySigner()
	if signer == nil {
		return nil, fmt.Errorf("mud: the signature has %d signers, or none whose certificate it holds: want one", len(p.Signers))
	}
	p.Content = file
	if err := p.Verify(); err != nil {
		return nil, fmt.Errorf("mud: the signature does not hold: %w", err)
	}
	return signer, nil
}
