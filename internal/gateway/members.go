package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/policy"
	"bellwether/internal/zone"
)

// memberDir is the members' part of a state directory.
const memberDir = "members"

// MembersConfig is how members are served.
type MembersConfig struct {
	// Listen is the address that followers connect to, like ":8443". Default: the
	// zone has no members.
	Listen string `yaml:"listen"`
	// Address is HOST:PORT of it as invites show it. Default: this machine's first
	// address and the port of listen.
	Address string `yaml:"address"`
	// Renew says who decides that a member gets another ticket when its own does
	// not hold any more: the gateway by itself (auto, the default), or the operator
	// by `bellwether zone admit` (ask). Who was revoked gets none.
	Renew string `yaml:"renew"`
	// Max is how many members may be connected. Default 4096.
	Max int `yaml:"max"`
	// Keep and KeepMax bound what is kept of messages' contents. Default 168h (7
	// days) and 1GiB; no less than 32MiB.
	Keep    Duration `yaml:"keep"`
	KeepMax Bytes    `yaml:"keep_max"`
	// TicketBlocks is how many blocks a ticket holds for. Default 100 million.
	TicketBlocks int `yaml:"ticket_blocks"`
	// Unwatched leaves what members say out of the Behaviour Monitor. Default: it is
	// observed, beside an interface and without one.
	Unwatched bool `yaml:"unwatched"`
	// Rate is how many bytes one member may hand in each second. Default 4MiB.
	Rate Bytes `yaml:"rate"`
	// Messages is how many messages and lookups one member may hand in each second,
	// and ten times as many at once. Default 100. Who hands in more waits. A message
	// to everyone counts as one more for every eight members.
	Messages int `yaml:"messages"`
}

// The values of MembersConfig.Renew.
const (
	renewAuto = "auto"
	renewAsk  = "ask"
)

// memberBlockTxs are the transactions that fill a block of a zone with members.
const memberBlockTxs = 1000

// The bounds of members.rate and members.messages.
const (
	maxRate     = 1 << 30
	maxMessages = 1_000_000
)

func (c MembersConfig) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("members."+format, args...))
		}
	}
	if c.Listen == "" {
		bad(c != MembersConfig{}, "listen is missing: want an address like \":8443\"")
		return errors.Join(errs...)
	}
	_, _, err := net.SplitHostPort(c.Listen)
	bad(err != nil, "listen is %q: want an address like \":8443\"", c.Listen)
	host, _, err := net.SplitHostPort(cmp.Or(c.Address, "host:1"))
	bad(err != nil || host == "", "address is %q: want HOST:PORT, as followers reach it", c.Address)
	bad(c.Renew != "" && c.Renew != renewAuto && c.Renew != renewAsk, "renew is %q: want %s or %s", c.Renew, renewAuto, renewAsk)
	bad(c.Max < 0 || c.Max > maxDevices, "max is %d: want 1 to %d", c.Max, maxDevices)
	bad(c.TicketBlocks < 0, "ticket_blocks is %d: want 1 or more", c.TicketBlocks)
	bad(c.Rate > maxRate, "rate is %d: want at most %d", c.Rate, maxRate)
	bad(c.Rate > 0 && c.Rate < message.MaxFrame, "rate is %d: want %d or more, which is one frame", c.Rate, message.MaxFrame)
	bad(c.Messages < 0 || c.Messages > maxMessages, "messages is %d: want 1 to %d", c.Messages, maxMessages)
	return errors.Join(errs...)
}

func (c MembersConfig) options(log *slog.Logger, heard func(bus.Heard)) bus.Options {
	return bus.Options{Max: c.Max, Keep: time.Duration(c.Keep), KeepMax: int64(c.KeepMax), Ask: c.Renew == renewAsk, Rate: int(c.Rate), Messages: c.Messages,
		OnMessage: heard, Log: log}
}

// address is what invites show of the hub.
func (c MembersConfig) address() string {
	if c.Address != "" {
		return c.Address
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = ownAddress()
	}
	return net.JoinHostPort(host, port)
}

// ownAddress is this machine's first address that others may reach, of IPv4 if it
// has one.
func ownAddress() string {
	addrs, _ := net.InterfaceAddrs()
	best := "127.0.0.1"
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if best == "127.0.0.1" {
			best = n.IP.String()
		}
	}
	return best
}

// membership is where an operator's orders about members are carried out, in a
// running gateway or without one. It numbers what the master says of the roll.
type membership struct {
	state *State
	desk  *bus.Desk
	hub   *bus.Hub // the state directory's, when it is open; nil: none runs

	turn sync.Mutex // one transaction of the roll after the other
}

// openMembership opens the desk of a state directory.
func (s *State) openMembership(lifetime uint64) (*membership, error) {
	desk, err := bus.OpenDesk(s.path(memberDir), s.Zone.ID, s.Key, lifetime)
	if err != nil {
		return nil, err
	}
	return &membership{state: s, desk: desk}, nil
}

// openHub opens the hub that was prepared with the state directory, and listens.
func (m *membership) openHub(ctx context.Context, c MembersConfig) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("members.listen: %w", err)
	}
	ledger, ok := m.state.Ledger.(bus.Ledger)
	if !ok {
		return nil, errors.Join(fmt.Errorf("members: the ledger's driver, %T, does not serve a hub", m.state.Ledger), l.Close())
	}
	if err = m.state.hub.Open(ctx, m.state.Zone.ID, m.state.Key, ledger, m.desk); err == nil {
		m.hub = m.state.hub
		address := c.Address
		if address == "" && c.Listen != "" {
			c.Listen = l.Addr().String()
			address = c.address()
		}
		err = m.desk.SetAddress(address)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (m *membership) close() error { return m.desk.Close() }

// MemberOrder is what an operator orders about members.
type MemberOrder struct {
	Do       string        `json:"do"`                 // one of the Do constants
	Member   zone.MemberID `json:"member,omitempty"`   // revoke, release; invite: for whom alone
	Identity string        `json:"identity,omitempty"` // admit, drop: NAME.KEY
	Grant    bus.Grant     `json:"grant,omitzero"`     // admit, invite
	Address  string        `json:"address,omitempty"`  // invite: HOST:PORT in place of the configuration's
	Open     bool          `json:"open,omitempty"`     // invite: without a code
	For      time.Duration `json:"for,omitempty"`      // invite: how long its code holds, in ns; 0: bus.InviteFor, below 0: without an end
	Note     string        `json:"note,omitempty"`
	Policy   string        `json:"policy,omitempty"` // policy-set: the text
	Say      *bus.Say      `json:"say,omitempty"`    // say
}

// What an order may ask to do.
const (
	DoList     = "list"
	DoRequests = "requests"
	DoInvite   = "invite"
	DoTakeBack = "take-back"
	DoAdmit    = "admit"
	DoDrop     = "drop"
	DoRevoke   = contract.ActionRevoke
	DoRelease  = contract.ActionRelease
	DoEpoch    = "epoch"
	DoPolicy   = "policy-set"
	DoShow     = "policy-show"
	DoSay      = "say"
)

// MemberAnswer is what came of an order.
type MemberAnswer struct {
	ID       zone.HID           `json:"h_id,omitzero"`      // of the transaction that it led to
	Released []contract.Verdict `json:"released,omitempty"` // release: the malicious verdicts that it put aside
	Epoch    uint64             `json:"epoch"`
	Members  []MemberReport     `json:"members,omitempty"`
	Requests []bus.Request      `json:"requests,omitempty"`
	Invites  int                `json:"open_invites"` // one-time codes that were not used, and have not expired
	Invite   string             `json:"invite,omitempty"`
	Until    zone.Time          `json:"until,omitempty"` // how long the invite's code holds; left out: without an end
	Hub      *bus.Status        `json:"hub,omitempty"`   // nil: no gateway serves members
	Policy   *PolicyReport      `json:"policy,omitempty"`
}

// MemberReport is one member for people.
type MemberReport struct {
	Name      zone.MemberID `json:"name"`
	Identity  string        `json:"identity"` // NAME.KEY; empty: revoked before it associated
	Role      string        `json:"role"`
	Maker     string        `json:"maker,omitempty"`
	MAC       zone.MAC      `json:"mac,omitzero"`
	Standing  string        `json:"standing"` // member, or a code: revoked, expired, behaviour; none: never associated
	Reason    string        `json:"reason,omitempty"`
	Connected bool          `json:"connected"`
	Waiting   int           `json:"waiting"` // deliveries that it has not acknowledged
	More      bool          `json:"more"`    // and there are more
	N         uint64        `json:"n"`
	Objects   uint64        `json:"objects"`
	Epoch     uint64        `json:"epoch"`
	Until     uint64        `json:"until"`
	Joined    uint64        `json:"joined"` // block
}

// PolicyReport is the policy in force.
type PolicyReport struct {
	N    uint64   `json:"n"` // of the transaction that set it, 0: the default
	ID   zone.HID `json:"h_id,omitzero"`
	Text string   `json:"text"`
}

// OrderMembers has an order carried out about the members of the zone whose state
// directory is dir: by the gateway that runs there, or, if none does, here.
func OrderMembers(ctx context.Context, dir string, o MemberOrder) (MemberAnswer, error) {
	out, err := carry(ctx, dir, order{Members: &o}, func(s *State) (outcome, error) {
		m, err := s.openMembership(0)
		if err != nil {
			return outcome{}, err
		}
		answer, err := m.carryOut(ctx, o, time.Now())
		return outcome{Members: &answer}, errors.Join(err, m.close())
	})
	if err == nil && out.Members == nil {
		err = errTooOld
	}
	if err != nil {
		return MemberAnswer{}, err
	}
	return *out.Members, nil
}

// carryOut does what was ordered. What it did is durable on return.
func (m *membership) carryOut(ctx context.Context, o MemberOrder, now time.Time) (out MemberAnswer, err error) {
	switch o.Do {
	case DoList:
		out.Members, err = m.list()
	case DoRequests:
	case DoInvite:
		out.Invite, out.Until, err = m.invite(o, zone.TimeOf(now))
	case DoTakeBack:
		_, err = m.desk.TakeBack()
	case DoAdmit:
		err = m.admit(o)
	case DoDrop:
		err = m.drop(o)
	case DoRevoke, DoRelease:
		if out.ID, err = m.decide(ctx, now, &contract.MemberAction{Action: o.Do, Member: o.Member, Note: o.Note}); err == nil && o.Do == DoRelease {
			out.Released, err = m.released(o.Member)
		}
	case DoEpoch:
		out.ID, err = m.beginEpoch(ctx, now, o.Note)
	case DoPolicy:
		if _, err := policy.Compile(o.Policy); err != nil {
			return out, err
		}
		out.ID, err = m.decide(ctx, now, &contract.PolicySet{Text: o.Policy, Note: o.Note})
	case DoSay:
		if m.hub == nil || o.Say == nil {
			return out, errors.New("the master speaks as long as the gateway runs: start `bellwether run` with members.listen")
		}
		out.ID, err = m.hub.Say(ctx, *o.Say)
	case DoShow:
		out.Policy, err = m.policy()
	default:
		err = fmt.Errorf("there is no order %q", o.Do)
	}
	if err != nil {
		return out, err
	}
	r, err := contract.ReadRoll(m.state.Ledger.State())
	out.Epoch, out.Requests, out.Invites = r.Epoch, m.desk.Requests(), m.desk.Invites(zone.TimeOf(now))
	if m.hub != nil {
		status := m.hub.Status()
		out.Hub = &status
	}
	return out, err
}

// released gives the verdicts about a member that are put aside.
func (m *membership) released(id zone.MemberID) (verdicts []contract.Verdict, err error) {
	one, _, err := contract.ReadMember(m.state.Ledger.State(), id)
	for _, v := range []contract.Verdict{one.DeviceReleased, one.VoiceReleased} {
		if v != (contract.Verdict{}) {
			verdicts = append(verdicts, v)
		}
	}
	return verdicts, err
}

// decide puts the next transaction of the roll on the ledger; an epoch is the next one.
func (m *membership) decide(ctx context.Context, now time.Time, body contract.Body) (zone.HID, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	r, err := contract.ReadRoll(m.state.Ledger.State())
	if err != nil {
		return zone.HID{}, err
	}
	if next, ok := body.(*contract.EpochBegun); ok {
		next.Epoch = r.Epoch + 1
	}
	id, err := m.state.submit(ctx, contract.Tx{Zone: m.state.Zone.ID, Time: max(0, zone.TimeOf(now)), N: r.N + 1, Body: body})
	if m.hub != nil {
		m.hub.Look()
	}
	return id, err
}

func (m *membership) admit(o MemberOrder) error {
	id, err := message.ParseIdentity(o.Identity)
	if err != nil {
		return err
	}
	if m.hub != nil {
		return m.hub.Admit(id, o.Grant)
	}
	_, err = m.desk.Admit(m.state.Ledger.State(), m.state.Ledger.Height(), id, o.Grant)
	return err
}

// drop turns a request away.
func (m *membership) drop(o MemberOrder) error {
	if m.hub != nil {
		return m.hub.Drop(o.Identity)
	}
	return m.desk.Drop(o.Identity)
}

// beginEpoch ends every ticket, and before that every code: they may have got out as
// well.
func (m *membership) beginEpoch(ctx context.Context, now time.Time, note string) (zone.HID, error) {
	if _, err := m.desk.TakeBack(); err != nil {
		return zone.HID{}, err
	}
	return m.decide(ctx, now, &contract.EpochBegun{Note: note})
}

// invite gives an invite's URI, and how long its code holds.
func (m *membership) invite(o MemberOrder, now zone.Time) (uri string, until zone.Time, err error) {
	cert, err := bus.LoadCertificate(m.state.path(memberDir))
	if err != nil {
		return "", 0, err
	}
	i := message.Invite{Address: cmp.Or(o.Address, m.desk.Address()), Zone: m.state.Zone.ID, Master: m.state.Zone.Master, Pin: cert.Pin}
	if i.Address == "" {
		return "", 0, errors.New("it is not known how followers reach the gateway: run it once with members.listen, or give --address HOST:PORT")
	}
	if !o.Open {
		if i.Code, until, err = m.desk.Invite(o.Member, o.Grant, now, o.For); err != nil {
			return "", 0, err
		}
	}
	uri = i.String()
	if _, err := message.ParseInvite(uri); err != nil {
		return "", 0, fmt.Errorf("%w; is %q HOST:PORT?", err, i.Address)
	}
	return uri, until, nil
}

// list gives the members that the ledger knows.
func (m *membership) list() ([]MemberReport, error) {
	state, height := m.state.Ledger.State(), m.state.Ledger.Height()
	all, err := contract.Members(state)
	if err != nil {
		return nil, err
	}
	out := make([]MemberReport, 0, len(all))
	for _, one := range all {
		r := MemberReport{Name: one.Member, Role: one.Role, Maker: one.Maker, MAC: one.MAC, Standing: string(message.StandingMember),
			N: one.N, Objects: one.Objects, Epoch: one.Epoch, Until: one.Until, Joined: one.Joined}
		if one.Key != [32]byte{} {
			r.Identity = message.Identity{Member: one.Member, Key: one.Key[:]}.String()
		}
		var refused *contract.RejectError
		if err := one.Standing(state, height); errors.As(err, &refused) {
			r.Standing, r.Reason = string(refused.Code), refused.Reason
		} else if err != nil {
			return nil, err
		}
		if r.Identity == "" && !one.Revoked {
			r.Standing, r.Reason = "none", "it has not associated"
		}
		if m.hub != nil {
			r.Connected, r.Waiting, r.More = m.hub.Member(one.Member)
		}
		out = append(out, r)
	}
	return out, nil
}

func (m *membership) policy() (*PolicyReport, error) {
	p, set, err := contract.ReadPolicy(m.state.Ledger.State())
	if !set {
		p.Text = policy.Default
	}
	return &PolicyReport{N: p.N, ID: p.ID, Text: p.Text}, err
}
