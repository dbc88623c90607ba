package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"bellwether/internal/durable"
	"bellwether/internal/gateway"
	"bellwether/internal/mud"
	"bellwether/internal/zone"
)

func mudCommand() *cobra.Command {
	return group("mud", "Network policies of devices, as MUD files (RFC 8520): learn, show, import, check",
		mudShowCommand(), mudLearnCommand(), mudImportCommand(), mudCheckCommand(), mudListCommand(), mudRemoveCommand())
}

// readLimited reads a file that is to have at most so many bytes; one more is
// read, so that whoever parses it says that it is too long.
func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

func readMUD(path string) ([]byte, *mud.File, error) {
	b, err := readLimited(path, mud.MaxFile)
	if err != nil {
		return nil, nil, err
	}
	f, err := mud.Parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, f, nil
}

func parseDevice(text string) (zone.MAC, error) {
	m, err := zone.ParseMAC(text)
	if err != nil {
		return m, usageError{fmt.Errorf("DEVICE: %w", err)}
	}
	return m, nil
}

func mudShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show FILE", Short: "Show a MUD file as a table",
		Long: `Reads a MUD file strictly and shows its rules, in the order in which they are tried; what
none accepts is dropped. Says what in the file means nothing here, and which rules
cannot be checked.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := readMUD(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), f)
			}
			return printMUD(cmd.OutOrStdout(), b, f)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printMUD(w io.Writer, b []byte, f *mud.File) error {
	fmt.Fprintf(w, "%s\n", f.URL)
	for _, line := range []struct{ name, value string }{
		{"device", f.Systeminfo}, {"manufacturer", f.Manufacturer}, {"model", f.Model}, {"firmware", f.Firmware}, {"software", f.Software},
		{"last update", f.LastUpdate}, {"SHA-256", fmt.Sprintf("%x", sha256.Sum256(b))},
	} {
		if line.value != "" {
			fmt.Fprintf(w, "  %-13s %q\n", line.name, line.value)
		}
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nDIRECTION\tRULE\tACTION\tPROTOCOL\tPEER\tPEER'S PORT\tDEVICE'S PORT\tOPENED BY")
	for _, d := range []struct {
		name  string
		rules []mud.Rule
	}{{"from device", f.Profile.From}, {"to device", f.Profile.To}} {
		for i := range d.rules {
			printRule(t, d.name, &d.rules[i])
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, i := range f.Ignored {
		fmt.Fprintf(w, "means nothing here: %s (%d times)\n", i.What, i.Times)
	}
	return nil
}

func printRule(w io.Writer, direction string, r *mud.Rule) {
	action, proto, by := "accept", zone.ProtoName(r.Proto), strings.TrimPrefix(r.Initiated, "from-")
	if r.Drop {
		action = "drop"
	}
	if r.Initiated == "to-device" {
		by = "peer"
	}
	if r.ICMPType >= 0 {
		proto += fmt.Sprintf(" type %d", r.ICMPType)
	}
	if r.Unchecked != "" {
		by += " (cannot be checked: " + r.Unchecked + ")"
	}
	fmt.Fprintf(w, "%s\t%.40q\t%s\t%s\t%s\t%s\t%s\t%s\n", direction, r.Name, action, proto, r.Peer, r.PeerPort, r.LocalPort, by)
}

// namesFlag adds the flag that says where names are to be read from.
func namesFlag(c *cobra.Command, captures *[]string) {
	c.Flags().StringArrayVar(captures, "names", nil, "captures with name servers' answers to the device: rules by name stand for the addresses found there")
}

// readNames reads them, if any are given.
func readNames(cmd *cobra.Command, captures []string, device zone.MAC) (map[string][]netip.Addr, error) {
	if len(captures) == 0 {
		return nil, nil
	}
	names, damaged, err := gateway.ReadNames(cmd.Context(), captures, device)
	for _, d := range damaged {
		fmt.Fprintf(os.Stderr, "bellwether: warning: %v; what lies before was read\n", d)
	}
	return names, err
}

func mudLearnCommand() *cobra.Command {
	var state, output, home string
	var hosts bool
	var captures []string
	c := &cobra.Command{
		Use: "learn DEVICE --state DIR -o FILE", Short: "Write what a device did while it was learned as a MUD file, signed by the zone",
		Long: `Makes a MUD file of the snapshots that the device's model in force was learned from:
for each local peer and service one rule in each direction; for hosts that are not
local one for each service, since the addresses of a cloud change from day to day. The
detached signature (CMS in DER, RFC 8520, section 13.1) is written beside it as
FILE.p7s.

With --hosts each host outside has rules of its own, by its address; with --names by
the name that the device asked for, where the captures hold a name server's answer to
it. That is stricter, and in a week much of what is normal may lie outside.`,
		Example: "  bellwether mud learn 64:16:66:49:3e:cb --state home -o camera.json\n  bellwether mud learn 64:16:66:49:3e:cb --state home --hosts --names week1/*.pcap -o camera.json",
		Args:    exactly(1, "one DEVICE, by its MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			if len(captures) > 0 && !hosts {
				return usageError{errors.New("mud learn: --names goes with --hosts")}
			}
			names, err := readNames(cmd, captures, device)
			if err != nil {
				return err
			}
			return withState(cmd, state, func(s *gateway.State) error {
				l, err := s.LearnMUD(cmd.Context(), gateway.LearnMUD{Device: device, Hosts: hosts, Names: names, URL: home})
				if err != nil {
					return err
				}
				return writeMUD(cmd.OutOrStdout(), output, l, len(names))
			})
		},
	}
	stateFlag(c, &state)
	namesFlag(c, &captures)
	c.Flags().StringVarP(&output, "output", "o", "", "file to write; its signature becomes FILE.p7s")
	c.MarkFlagRequired("output")
	c.Flags().BoolVar(&hosts, "hosts", false, "rules of its own for each host that is not local")
	c.Flags().StringVar(&home, "url", "", "https URL where the file will be at home (default: one that does not exist)")
	return c
}

func writeMUD(w io.Writer, path string, l *gateway.LearnedMUD, names int) error {
	for _, f := range []struct {
		path string
		b    []byte
	}{{path, l.File}, {path + ".p7s", l.Signature}} {
		if err := durable.WriteFile(f.path, f.b, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%s: %d rules, learned from %d snapshots from %s to %s, with %d names\n", path, l.Rules, l.Snapshots, l.From, l.To, names)
	fmt.Fprintf(w, "%s.p7s: signed by this zone\n", path)
	if l.Missing > 0 {
		fmt.Fprintf(w, "warning: %d more snapshots that it was learned from are not kept any more\n", l.Missing)
	}
	if l.Dropped > 0 {
		fmt.Fprintf(w, "warning: %d snapshots were of too many kinds and left out\n", l.Dropped)
	}
	return nil
}

// mudImport are the flags of mud import.
type mudImport struct {
	state, signature string
	captures         []string
	signers          []string
}

func mudImportCommand() *cobra.Command {
	var f mudImport
	c := &cobra.Command{
		Use: "import DEVICE FILE --state DIR", Short: "Give a device a MUD file as its network policy",
		Long: `Stores a MUD file as the network policy of a device: from then on its alerts name what
of their evidence lies outside. A gateway that runs goes on with it. A detached signature, FILE.p7s or that
of --signature, has to hold and to be by this zone, or by a certificate of --signer. A
file without a signature is taken, and said to have none: your word counts.

Rules by name are checked for the addresses that --names finds; others by name say
that they cannot be checked.`,
		Args: exactly(2, "a DEVICE, by its MAC address, and a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			return f.run(cmd, device, args[1])
		},
	}
	stateFlag(c, &f.state)
	namesFlag(c, &f.captures)
	c.Flags().StringVar(&f.signature, "signature", "", "detached signature, CMS in DER (default: FILE.p7s if there is one)")
	c.Flags().StringArrayVar(&f.signers, "signer", nil, "certificate whose signature counts, DER or PEM; may be given again")
	return c
}

func (f *mudImport) run(cmd *cobra.Command, device zone.MAC, path string) error {
	o := gateway.MUDOrder{Device: device}
	var err error
	if o.File, _, err = readMUD(path); err != nil {
		return err
	}
	if o.Names, err = readNames(cmd, f.captures, device); err != nil {
		return err
	}
	if err := f.sign(&o, path); err != nil {
		return err
	}
	a, err := gateway.OrderMUD(cmd.Context(), f.state, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s has the network policy %s: %d rules for what it sends, signed by %s\n", device, a.SHA256, a.Rules, cmp.Or(a.Signer, "nobody"))
	return nil
}

// sign adds the signature, if there is one, and the certificates that count.
func (f *mudImport) sign(o *gateway.MUDOrder, path string) (err error) {
	beside := f.signature == ""
	if beside {
		f.signature = path + ".p7s"
	}
	o.Signature, err = readLimited(f.signature, 64<<10)
	if beside && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(o.Signature) == 0 {
		err = fmt.Errorf("%s is empty", f.signature)
	}
	if err != nil {
		return err
	}
	for _, path := range f.signers {
		raw, err := readLimited(path, 64<<10)
		if err != nil {
			return err
		}
		if p, _ := pem.Decode(raw); p != nil {
			raw = p.Bytes
		}
		o.Signers = append(o.Signers, sha256.Sum256(raw))
	}
	return nil
}

func mudCheckCommand() *cobra.Command {
	var state, file string
	var captures []string
	var from, to uint64
	var asJSON bool
	c := &cobra.Command{
		Use: "check DEVICE --state DIR", Short: "Hold what a device sent against its network policy",
		Long: `Holds the stored snapshots of a device against the MUD file that it was given, or with
--file against another, and names what lies outside. Ends with 1 if anything does.`,
		Args: exactly(1, "one DEVICE, by its MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			var b []byte
			if file != "" {
				if b, _, err = readMUD(file); err != nil {
					return err
				}
			}
			names, err := readNames(cmd, captures, device)
			if err != nil {
				return err
			}
			return withState(cmd, state, func(s *gateway.State) error {
				r, err := s.CheckMUD(cmd.Context(), device, b, names, zone.SeqID(from), zone.SeqID(to))
				if err != nil {
					return err
				}
				return tellCheck(cmd.OutOrStdout(), r, asJSON)
			})
		},
	}
	stateFlag(c, &state)
	namesFlag(c, &captures)
	c.Flags().StringVar(&file, "file", "", "MUD file to hold it against (default: the one that the device was given)")
	c.Flags().Uint64Var(&from, "from", 0, "first SEQ-ID (default: the oldest that is kept)")
	c.Flags().Uint64Var(&to, "to", 0, "last SEQ-ID (default: the newest)")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func tellCheck(w io.Writer, r zone.NetworkReport, asJSON bool) error {
	var err error
	if r.Outside > 0 {
		err = fmt.Errorf("%d of %d packets lie outside the network policy", r.Outside, r.Packets)
	}
	if asJSON {
		return errors.Join(printJSON(w, r), err)
	}
	printStanding(w, r, "")
	return err
}

// printStanding says how packets stand to a network policy.
func printStanding(w io.Writer, r zone.NetworkReport, indent string) {
	fmt.Fprintf(w, "%s%d packets: %d inside, %d outside, %d that cannot be checked; %d of ARP, DHCP and neighbours beside\n", indent, r.Packets, r.Inside, r.Outside, r.Unchecked, r.Exempt)
	for _, s := range r.Named {
		fmt.Fprintf(w, "%s  outside: %s\n", indent, s)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "%s  outside: %d more packets, to other services\n", indent, r.More)
	}
}

func mudListCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use: "list --state DIR", Short: "List the devices that have a network policy",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, state, func(s *gateway.State) error {
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(t, "DEVICE\tSHA-256\tSINCE\tSIGNED BY")
				for _, mac := range s.MUDs() {
					m, _ := s.MUD(mac)
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", mac, m.SHA256, m.Time, cmp.Or(m.Signer, "nobody"))
				}
				return t.Flush()
			})
		},
	}
	stateFlag(c, &state)
	return c
}

func mudRemoveCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use: "remove DEVICE --state DIR", Short: "Take a device's network policy away again",
		Args: exactly(1, "one DEVICE, by its MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			_, err = gateway.OrderMUD(cmd.Context(), state, gateway.MUDOrder{Device: device})
			return err
		},
	}
	stateFlag(c, &state)
	return c
}
