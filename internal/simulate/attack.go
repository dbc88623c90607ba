package simulate

import (
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bellwether/internal/zone"
)

// The kinds of attack.
const (
	MiraiScan     = "mirai-scan"
	MiraiSYN      = "mirai-syn"
	MiraiACK      = "mirai-ack"
	MiraiUDP      = "mirai-udp"
	MiraiUDPPlain = "mirai-udpplain"
	MiraiGREIP    = "mirai-greip"
	MiraiDNS      = "mirai-dns"
	MiraiVSE      = "mirai-vse"
	MiraiHTTP     = "mirai-http"

	BashliteScan  = "bashlite-scan"
	BashliteJunk  = "bashlite-junk"
	BashliteUDP   = "bashlite-udp"
	BashliteTCP   = "bashlite-tcp"
	BashliteCombo = "bashlite-combo"

	HajimeScan = "hajime-scan"
	HNSScan    = "hns-scan"

	TelnetScan        = "telnet-scan"
	SlowScan          = "slow-scan"
	Beacon            = "beacon"
	Exfiltration      = "exfiltration"
	QuietExfiltration = "quiet-exfiltration"
	Mimicry           = "mimicry"

	ARPScan       = "arp-scan"
	ARPSpoof      = "arp-spoof"
	SpoofedFlood  = "spoofed-flood"
	AddressMisuse = "address-misuse"
)

// Kind describes one kind of attack.
type Kind struct {
	Name   string
	About  string        // one line
	Source string        // where its shape was published
	Rate   float64       // strikes per second where an Overlay gives none
	Lasts  time.Duration // how long it has to last to be worth trying
	Quiet  bool          // it tries to stay below what attracts attention
	start  func(*assault) habit
}

// brief is how long a loud attack has to last.
const brief = 10 * time.Second

// Kinds lists the attacks, by family.
func Kinds() []Kind {
	return slices.Concat(miraiKinds(), bashliteKinds(), wormKinds(), quietKinds(), localKinds())
}

// family gives kinds their common source and duration, where they have none of
// their own.
func family(source string, lasts time.Duration, kinds ...Kind) []Kind {
	for i := range kinds {
		if kinds[i].Source == "" {
			kinds[i].Source = source
		}
		if kinds[i].Lasts == 0 {
			kinds[i].Lasts = lasts
		}
	}
	return kinds
}

// KindNames lists the names of Kinds, in their order.
func KindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// FindKind gives the kind of attack with a name. The error lists all names.
func FindKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("there is no attack of the kind %q: there are %s", name, strings.Join(KindNames(), ", "))
}

// Overlay is one attack by one device, to be merged into other traffic.
type Overlay struct {
	MAC        zone.MAC   // the device
	IP         netip.Addr // the device's IPv4 address
	GatewayMAC zone.MAC   // next hop to everything outside
	Kind       string     // one of Kinds
	Start      zone.Time
	// Duration is how long the device strikes. Answers and connections that
	// are under way may end some seconds later.
	Duration time.Duration
	Rate     float64 // strikes (packets, or connections where the attack makes these) per second; 0 is the kind's own
	// Target is the victim's IPv4 address; for mirai-dns the resolver, for the
	// ARP attacks the gateway's local address. The zero value is the kind's
	// own: a documentation address, Mirai's public resolvers, the first
	// address of the device's /24. Scans have no target.
	Target netip.Addr
	// Usual is what the device sends on an ordinary day, packet after packet,
	// for Mimicry and QuietExfiltration, which go by it instead of by Rate.
	// Without it they imitate a device that sends 120 bytes each second.
	Usual []Sending
	Seed  uint64
}

// Sending is one packet that a device sends.
type Sending struct {
	Wait time.Duration // since the one before
	Size int           // bytes of payload above TCP or UDP
}

// Check says what is wrong with an overlay.
func (o Overlay) Check() error {
	_, err := FindKind(o.Kind)
	switch {
	case err != nil:
		return err
	case !o.IP.Is4():
		return fmt.Errorf("attack %s: the device's address %v is not an IPv4 address", o.Kind, o.IP)
	case o.Target.IsValid() && !o.Target.Is4():
		return fmt.Errorf("attack %s: the target %v is not an IPv4 address", o.Kind, o.Target)
	case o.Duration <= 0:
		return fmt.Errorf("attack %s: its duration %v is not positive", o.Kind, o.Duration)
	case o.Start > math.MaxInt64-zone.Time(o.Duration)-zone.Time(24*time.Hour):
		return fmt.Errorf("attack %s: it would end after the year 2262", o.Kind)
	case slices.ContainsFunc(o.Usual, Sending.impossible):
		return fmt.Errorf("attack %s: what is usual has a packet with a negative size or wait, or of more than %d bytes", o.Kind, math.MaxUint16)
	case !(o.Rate == 0 || o.Rate >= 1e-4 && o.Rate <= 1e6):
		return fmt.Errorf("attack %s: its rate %v per second is not 0 nor from 0.0001 to 1000000", o.Kind, o.Rate)
	}
	return nil
}

func (s Sending) impossible() bool { return s.Wait < 0 || s.Size < 0 || s.Size > math.MaxUint16 }

// Frames gives the attack's frames in the order of time: what the device sends,
// and plausible answers to some of it. It panics where Check returns an error.
// Every call starts anew.
func (o Overlay) Frames() iter.Seq[*Frame] {
	if err := o.Check(); err != nil {
		panic("simulate: " + err.Error())
	}
	return func(yield func(*Frame) bool) {
		e := newEngine(o.Start)
		o.begin(e)
		e.run(math.MaxInt64, yield)
	}
}

// begin puts the attack into an engine. The overlay has to pass Check.
func (o Overlay) begin(e *engine) {
	kind, err := FindKind(o.Kind)
	if err != nil {
		panic("simulate: " + err.Error())
	}
	a := &assault{Overlay: o, e: e, r: newRandom(o.Seed, o.Kind+o.MAC.String()), end: o.Start.Add(o.Duration)}
	if a.Rate == 0 {
		a.Rate = kind.Rate
	}
	a.noise = noise(a.r.uint64() | 1)
	a.port = uint16(a.r.between(32768, 50000))
	e.wake(o.Start, kind.start(a))
}
