package evidence

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/zone"
)

// Channel is who is who on a channel, by its configuration block.
type Channel struct {
	Name   string
	Number uint64    // of the configuration block; to be compared with others too, for the digest is not of it
	Digest zone.Hash // SHA-256 of its data: what to compare with others
	Type   string    // etcdraft or BFT

	orderersOf organisations
	members    organisations
	consenters map[uint32]*common.Consenter // with BFT
}

// organisations are MSPs by their IDs.
type organisations map[string]*organisation

type organisation struct {
	roots, between *x509.CertPool
	roles          bool   // they are told apart by units
	peers          string // unit of a peer's certificate; empty: with roles nobody is one
}

// member is somebody who signed.
type member struct {
	msp  string
	cert *x509.Certificate
	org  *organisation
}

// ParseChannel reads a configuration block, the protobuf message common.Block, as
// configtxgen and `peer channel fetch config` write it.
func ParseChannel(raw []byte) (*Channel, error) {
	c, err := parseChannel(raw)
	if err != nil {
		return nil, fmt.Errorf("configuration block: %w", err)
	}
	return c, nil
}

func parseChannel(raw []byte) (*Channel, error) {
	var b common.Block
	var envelope common.Envelope
	var payload common.Payload
	var header common.ChannelHeader
	var config common.ConfigEnvelope
	if err := proto.Unmarshal(raw, &b); err != nil {
		return nil, err
	}
	if len(b.GetData().GetData()) != 1 {
		return nil, errors.New("not one transaction")
	}
	if err := errors.Join(proto.Unmarshal(b.GetData().GetData()[0], &envelope), proto.Unmarshal(envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header)); err != nil {
		return nil, err
	}
	if header.GetType() != int32(common.HeaderType_CONFIG) {
		return nil, errors.New("it holds no configuration")
	}
	if err := proto.Unmarshal(payload.GetData(), &config); err != nil {
		return nil, err
	}
	c := &Channel{Name: header.GetChannelId(), Number: b.GetHeader().GetNumber(), Digest: sha256.Sum256(b.GetData().GetData()[0])}
	groups := config.GetConfig().GetChannelGroup().GetGroups()
	if err := c.readOrderers(groups["Orderer"]); err != nil {
		return nil, err
	}
	var err error
	c.members, err = readOrganisations(groups["Application"])
	return c, err
}

func (c *Channel) readOrderers(g *common.ConfigGroup) (err error) {
	if c.orderersOf, err = readOrganisations(g); err != nil {
		return err
	}
	var kind orderer.ConsensusType
	var all common.Orderers
	if err := errors.Join(proto.Unmarshal(g.GetValues()["ConsensusType"].GetValue(), &kind), proto.Unmarshal(g.GetValues()["Orderers"].GetValue(), &all)); err != nil {
		return err
	}
	c.Type = kind.GetType()
	switch c.Type {
	case "etcdraft":
		return nil
	case "BFT":
	default:
		return fmt.Errorf("ordering by %q is not known here: want etcdraft or BFT", c.Type)
	}
	c.consenters = map[uint32]*common.Consenter{}
	for _, k := range all.GetConsenterMapping() {
		c.consenters[k.GetId()] = k
	}
	if len(c.consenters) == 0 {
		return errors.New("it names no consenters")
	}
	return nil
}

// readOrganisations reads the MSPs of a group.
func readOrganisations(g *common.ConfigGroup) (organisations, error) {
	all := organisations{}
	for name, group := range g.GetGroups() {
		var outer msp.MSPConfig
		var inner msp.FabricMSPConfig
		if err := errors.Join(proto.Unmarshal(group.GetValues()["MSP"].GetValue(), &outer), proto.Unmarshal(outer.GetConfig(), &inner)); err != nil {
			return nil, fmt.Errorf("organisation %s: %w", name, err)
		}
		o := &organisation{roots: x509.NewCertPool(), between: x509.NewCertPool()}
		for _, text := range inner.GetRootCerts() {
			o.roots.AppendCertsFromPEM(text)
		}
		for _, text := range inner.GetIntermediateCerts() {
			o.between.AppendCertsFromPEM(text)
		}
		if inner.GetFabricNodeOus().GetEnable() {
			o.roles, o.peers = true, inner.GetFabricNodeOus().GetPeerOuIdentifier().GetOrganizationalUnitIdentifier()
		}
		all[inner.GetName()] = o
	}
	if len(all) == 0 {
		return nil, errors.New("it names no organisations")
	}
	return all, nil
}

// verify checks a signature over a message by a serialized identity.
func (o organisations) verify(identity, message, signature []byte) (*member, error) {
	var id msp.SerializedIdentity
	if err := proto.Unmarshal(identity, &id); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	org := o[id.GetMspid()]
	if org == nil {
		return nil, fmt.Errorf("%q is not an organisation of the channel", id.GetMspid())
	}
	cert, err := org.parse(id.GetIdBytes())
	if err != nil {
		return nil, fmt.Errorf("identity of %s: %w", id.GetMspid(), err)
	}
	return &member{id.GetMspid(), cert, org}, verify(cert, message, signature)
}

// parse reads a certificate and holds it against the organisation's authorities.
func (o *organisation) parse(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		return nil, errors.New("not one PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: o.roots, Intermediates: o.between, CurrentTime: cert.NotBefore.Add(time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return cert, err
}

func (m *member) isPeer() bool {
	return !m.org.roles || m.org.peers != "" && slices.Contains(m.cert.Subject.OrganizationalUnit, m.org.peers)
}

// verify checks a signature as Fabric makes it: ECDSA over SHA-256, with the smaller s,
// or Ed25519.
func verify(cert *x509.Certificate, message, signature []byte) error {
	ok := false
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(key, sum[:], signature) && low(key, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, signature)
	default:
		return fmt.Errorf("the key of %s is a %T", cert.Subject.CommonName, key)
	}
	if !ok {
		return fmt.Errorf("the signature is not by %s", cert.Subject.CommonName)
	}
	return nil
}

// low reports the smaller of the two values of s that hold, which is the only one that
// Fabric takes: with the other a signature could be altered and hold.
func low(key *ecdsa.PublicKey, signature []byte) bool {
	var v struct{ R, S *big.Int }
	_, err := asn1.Unmarshal(signature, &v)
	return err == nil && v.S.Cmp(new(big.Int).Rsh(key.Params().N, 1)) <= 0
}

// orderers checks the signatures over a block's header, and that the block is
// under this configuration. It gives who signed.
func (c *Channel) orderers(metadata, header []byte) ([]string, error) {
	var m common.Metadata
	var of common.OrdererBlockMetadata
	if err := errors.Join(proto.Unmarshal(metadata, &m), proto.Unmarshal(m.GetValue(), &of)); err != nil {
		return nil, fail(StepOrderers, "%v", err)
	}
	if under := of.GetLastConfig().GetIndex(); under != c.Number {
		return nil, fail(StepOrderers, "the block is under the configuration of block %d, the given one is of block %d", under, c.Number)
	}
	needed := 1
	if c.Type == "BFT" {
		n := len(c.consenters)
		f := (n - 1) / 3
		needed = (n + f + 2) / 2 // of n+f+1, half, rounded up
	}
	var by []string
	for i, s := range m.GetSignatures() {
		who, err := c.orderer(m.GetValue(), header, s)
		if err != nil {
			return nil, fail(StepOrderers, "signature %d: %v", i, err)
		}
		if !slices.Contains(by, who) {
			by = append(by, who)
		}
	}
	if len(by) < needed {
		return nil, fail(StepOrderers, "%d orderers signed it, %d are needed", len(by), needed)
	}
	slices.Sort(by)
	return by, nil
}

// orderer checks one signature, and says whose it is.
func (c *Channel) orderer(value, header []byte, s *common.MetadataSignature) (string, error) {
	if c.Type != "BFT" {
		var by common.SignatureHeader
		if err := proto.Unmarshal(s.GetSignatureHeader(), &by); err != nil {
			return "", err
		}
		m, err := c.orderersOf.verify(by.GetCreator(), slices.Concat(value, s.GetSignatureHeader(), header), s.GetSignature())
		if err != nil {
			return "", err
		}
		return m.msp + "/" + m.cert.Subject.CommonName, nil
	}
	var by common.IdentifierHeader
	if err := proto.Unmarshal(s.GetIdentifierHeader(), &by); err != nil {
		return "", err
	}
	k := c.consenters[by.GetIdentifier()]
	if k == nil || c.orderersOf[k.GetMspId()] == nil {
		return "", fmt.Errorf("%d is not a consenter of the channel", by.GetIdentifier())
	}
	cert, err := c.orderersOf[k.GetMspId()].parse(k.GetIdentity())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("consenter %d, %s/%s", k.GetId(), k.GetMspId(), cert.Subject.CommonName),
		verify(cert, slices.Concat(value, s.GetIdentifierHeader(), header), s.GetSignature())
}
