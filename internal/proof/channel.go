package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/zone"
)

// Channel shows that the blocks that a bundle rests on stand on a channel of
// Hyperledger Fabric.
type Channel struct {
	// Evidence has a piece for each block, in order; see package evidence. If blocks
	// were carried over, the handover's comes first and stands for them.
	Evidence [][]byte `json:"evidence"`
	// Carried are the blocks from before the zone came to the channel.
	Carried []Carried `json:"carried"`
}

// Carried shows that a block is one of those that a handover stands for.
type Carried struct {
	Block uint64   `json:"block"`
	Path  [][]byte `json:"path"` // of its header to the root of the handover's checkpoint
}

// NewChannel puts evidence of a bundle's blocks together. Of the zone's blocks the
// first so many were carried over; it asks header for the hashes of their headers.
func NewChannel(b *Bundle, all []*evidence.Evidence, carried uint64, header func(n uint64) (zone.Hash, error)) (*Channel, error) {
	headers, err := b.Headers()
	if err != nil {
		return nil, err
	}
	c := &Channel{Evidence: [][]byte{}, Carried: []Carried{}}
	for _, e := range all {
		c.Evidence = append(c.Evidence, e.Bytes())
	}
	var tree ledger.Tree
	for n := range carried {
		h, err := header(n)
		if err != nil {
			return nil, err
		}
		tree.Append(h)
	}
	for _, n := range slices.Sorted(maps.Keys(headers)) {
		if n >= carried {
			break
		}
		path, err := tree.Path(n, header)
		if err != nil {
			return nil, err
		}
		c.Carried = append(c.Carried, Carried{Block: n, Path: path})
	}
	return c, nil
}

// checkChannel checks what the channel shows, after all that the zone signed.
func (c *checker) checkChannel() (string, error) {
	if c.b.Channel == nil {
		return "", failf("channel", "the bundle holds no evidence of a channel of Fabric: it was made without")
	}
	all := make([]*evidence.Evidence, len(c.b.Channel.Evidence))
	for i, raw := range c.b.Channel.Evidence {
		var err error
		if all[i], err = evidence.Parse(raw); err != nil {
			return "", failf(fmt.Sprintf("channel.evidence[%d]", i), "%v", err)
		}
	}
	if c.channel == nil {
		c.warning = true
		return fmt.Sprintf("there are %d pieces of evidence of a Fabric channel, not checked: give --channel with the channel's configuration block, from somebody you trust", len(all)), nil
	}
	headers, err := c.b.Headers()
	if err != nil {
		return "", failf("channel", "%v", err)
	}
	p := posted{checker: c, headers: headers, blocks: slices.Sorted(maps.Keys(headers))}
	for i, e := range all {
		if err := p.evidence(i, e); err != nil {
			return "", err
		}
	}
	if p.handover == nil && len(c.b.Channel.Carried) > 0 {
		return "", failf("channel.carried", "there is no evidence of a handover that would stand for them")
	}
	if len(p.shown) < len(p.blocks) {
		return "", failf("channel.evidence", "there is none of block %d, which the bundle rests on", p.blocks[len(p.shown)])
	}
	return p.says(), nil
}

// posted goes through the evidence of a bundle's blocks.
type posted struct {
	*checker
	headers   map[uint64]*ledger.Header
	blocks    []uint64 // their numbers
	shown     []uint64 // those that evidence was seen of
	carried   int      // how many of these came by the handover
	handover  *ledger.Handover
	chaincode string
	by        []string // who signed, each once
}

// evidence takes the next piece.
func (p *posted) evidence(i int, e *evidence.Evidence) error {
	field := fmt.Sprintf("channel.evidence[%d]", i)
	s, err := e.Verify(p.channel)
	if err != nil {
		return failf(field, "%v", err)
	}
	if i > 0 && s.Chaincode != p.chaincode {
		return failf(field, "it is of chaincode %q, the one before of %q", s.Chaincode, p.chaincode)
	}
	p.chaincode = s.Chaincode
	by := fmt.Sprintf("ordered by %s, endorsed by %s, valid as a peer of %s says", strings.Join(s.Orderers, ", "), strings.Join(s.Endorsers, ", "), s.Answered)
	if !slices.Contains(p.by, by) {
		p.by = append(p.by, by)
	}
	switch {
	case s.Handover != nil && i == 0:
		return p.handedOver(field, s.Handover)
	case s.Handover != nil || len(p.shown) == len(p.blocks):
		return failf(field, "it is of nothing that the bundle rests on")
	}
	n, h := p.blocks[len(p.shown)], &s.Block.Header
	if h.Number != n || h.Hash() != p.headers[n].Hash() {
		return failf(field, "it is of block %d with hash %s, where block %d belongs with hash %s", h.Number, h.Hash().Short(), n, p.headers[n].Hash().Short())
	}
	p.shown = append(p.shown, n)
	return nil
}

// handedOver checks which blocks a handover stands for.
func (p *posted) handedOver(field string, h *ledger.Handover) error {
	head, err := h.Verify(p.anchor)
	if err == nil && h.Header.Zone != p.b.Alert.Zone {
		err = fmt.Errorf("it is of zone %s", h.Header.Zone.Short())
	}
	if err != nil {
		return failf(field, "the handover does not hold: %v", err)
	}
	p.handover = h
	for i, c := range p.b.Channel.Carried {
		field := fmt.Sprintf("channel.carried[%d]", i)
		if i == len(p.blocks) || c.Block != p.blocks[i] {
			return failf(field+".block", "block %d is not the next that the bundle rests on", c.Block)
		}
		if err := ledger.VerifyInclusion(head.Root, c.Block, head.Size, p.headers[c.Block].Hash(), c.Path); err != nil {
			return failf(field+".path", "it does not lead from block %d to the handover: %v", c.Block, err)
		}
		p.shown = append(p.shown, c.Block)
	}
	p.carried = len(p.shown)
	if p.carried < len(p.blocks) && p.blocks[p.carried] < head.Size {
		return failf("channel.carried", "block %d is missing, which the handover stands for and the bundle rests on", p.blocks[p.carried])
	}
	if p.carried == 0 {
		return failf("channel.carried", "the handover stands for no block that the bundle rests on")
	}
	return nil
}

// says puts in words what the channel vouches for.
func (p *posted) says() string {
	c := p.channel
	lines := []string{fmt.Sprintf("%s (%s), chaincode %s, by configuration block %d, %s", c.Name, c.Type, p.chaincode, c.Number, c.Digest),
		strings.Join(p.by, "; ")}
	if p.carried > 0 {
		lines = append(lines, fmt.Sprintf("blocks %s are from before the zone came there with block %d: the channel vouches that they were there by then, and for nothing that they say",
			numbers(p.shown[:p.carried]), p.handover.Header.Number))
	}
	if own := p.shown[p.carried:]; len(own) > 0 {
		lines = append(lines, fmt.Sprintf("blocks %s were checked by the endorsers, transaction by transaction", numbers(own)))
	}
	return strings.Join(lines, "\n")
}

func numbers(all []uint64) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(all)), ", "), "[]")
}
