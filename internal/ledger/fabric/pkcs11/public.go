package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
)

// publicKey reads a public key as a token keeps it: CKA_EC_PARAMS says the curve,
// by its object identifier or, for Edwards curves, its name; CKA_EC_POINT is the point, within
// an OCTET STRING or, with some modules, without one.
func publicKey(params, point []byte) (crypto.PublicKey, error) {
	curve, err := curveOf(params)
	if err != nil {
		return nil, err
	}
	for _, p := range [][]byte{octets(point), point} {
		switch {
		case curve == nil && len(p) == ed25519.PublicKeySize:
			return ed25519.PublicKey(p), nil
		case curve != nil:
			if key, err := ecdsa.ParseUncompressedPublicKey(curve, p); err == nil {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("%d bytes are no point of the curve", len(point))
}

// octets takes an OCTET STRING apart; nil if it is none.
func octets(b []byte) (inside []byte) {
	if rest, err := asn1.Unmarshal(b, &inside); err != nil || len(rest) > 0 {
		return nil
	}
	return inside
}

// curveOf gives the curve; nil without an error is Ed25519.
func curveOf(params []byte) (elliptic.Curve, error) {
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params, &oid); err == nil && len(rest) == 0 {
		switch oid.String() {
		case "1.2.840.10045.3.1.7":
			return elliptic.P256(), nil
		case "1.3.132.0.34":
			return elliptic.P384(), nil
		case "1.3.101.112":
			return nil, nil
		}
		return nil, fmt.Errorf("the curve %s is not known", oid)
	}
	var name string
	if rest, err := asn1.UnmarshalWithParams(params, &name, "printable"); err == nil && len(rest) == 0 && name == "edwards25519" {
		return nil, nil
	}
	return nil, errors.New("the token does not say its curve")
}
