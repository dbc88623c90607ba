package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"rsc.io/qr"

	"bellwether/internal/bus"
	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

// memberCommands are those of the group zone that are about members.
func memberCommands() []*cobra.Command {
	return []*cobra.Command{membersCommand(), requestsCommand(), inviteCommand(), admitCommand(),
		rollCommand("revoke NAME", "End a membership; what the member signed so far stands, and nothing more is taken from it", gateway.DoRevoke),
		rollCommand("release NAME", "Take a revocation back, or what a malicious verdict led to", gateway.DoRelease),
		rollCommand("epoch", "Begin another epoch: every ticket and every open invite ends, and members need new ones", gateway.DoEpoch),
		sayCommand()}
}

// orderFlags are the flags that every order has.
type orderFlags struct {
	state string
	json  bool
}

func (f *orderFlags) add(c *cobra.Command) {
	stateFlag(c, &f.state)
	c.Flags().BoolVar(&f.json, "json", false, "print as JSON")
}

// run has the order carried out and prints what came of it.
func (f *orderFlags) run(cmd *cobra.Command, o gateway.MemberOrder, print func(io.Writer, gateway.MemberAnswer) error) error {
	answer, err := gateway.OrderMembers(cmd.Context(), f.state, o)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	return print(cmd.OutOrStdout(), answer)
}

func membersCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use: "members --state DIR", Short: "List the members and where each stands",
		Long: `Lists the members that the ledger knows. STANDING is member, or what keeps one from
speaking: revoked by an operator, expired (its ticket is of a former epoch, or was for
blocks that are past) or behaviour (its device is malicious). WAITING are messages that
it has not acknowledged.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, gateway.MemberOrder{Do: gateway.DoList}, printMembers)
		},
	}
	f.add(c)
	return c
}

func printMembers(w io.Writer, a gateway.MemberAnswer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tSTANDING\tCONNECTED\tWAITING\tTRANSACTIONS\tDEVICE\tKEY")
	for _, m := range a.Members {
		connected, waiting, device := "-", "-", "-"
		if a.Hub != nil {
			connected = map[bool]string{true: "yes", false: "no"}[m.Connected]
			waiting = fmt.Sprint(m.Waiting) + map[bool]string{true: "+"}[m.More]
		}
		if m.MAC != (zone.MAC{}) {
			device = m.MAC.String()
		}
		_, key, _ := strings.Cut(m.Identity, ".")
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", m.Name, m.Role, m.Standing, connected, waiting, m.N, device, key)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d members, epoch %d, %s", len(a.Members), a.Epoch, openInvites(a))
	if a.Hub == nil {
		_, err := fmt.Fprintln(w, "; no gateway serves them")
		return err
	}
	fmt.Fprintf(w, "; since the gateway was started: %d messages, %d delivered, %d transactions refused\n", a.Hub.Received, a.Hub.Delivered, a.Hub.Refused)
	if len(a.Requests) > 0 {
		fmt.Fprintf(w, "%d wait to be admitted: `bellwether zone requests`\n", len(a.Requests))
	}
	return nil
}

func openInvites(a gateway.MemberAnswer) string {
	if a.Invites == 1 {
		return "1 invite is open"
	}
	return fmt.Sprintf("%d invites are open", a.Invites)
}

func requestsCommand() *cobra.Command {
	var f orderFlags
	var drop string
	c := &cobra.Command{
		Use: "requests --state DIR", Short: "List the followers that wait to be admitted, or turn one away",
		Long: `Lists who came without a ticket or an invite's code, and members whose ticket ended
while members.renew is ask, with the address that each came from. Compare the identity
with the one that the follower shows before you admit it: the name is what it says of
itself. With --drop one is turned away, and not listed again until it is admitted; a
stranger can come with another key.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if drop != "" {
				return f.run(cmd, gateway.MemberOrder{Do: gateway.DoDrop, Identity: drop}, func(w io.Writer, _ gateway.MemberAnswer) error {
					_, err := fmt.Fprintf(w, "%s is turned away, until `bellwether zone admit` lets it in\n", drop)
					return err
				})
			}
			return f.run(cmd, gateway.MemberOrder{Do: gateway.DoRequests}, printRequests)
		},
	}
	f.add(c)
	c.Flags().StringVar(&drop, "drop", "", "turn the request of this `NAME.KEY` away")
	return c
}

func printRequests(w io.Writer, a gateway.MemberAnswer) error {
	if len(a.Requests) == 0 {
		_, err := fmt.Fprintf(w, "nobody waits to be admitted; %s\n", openInvites(a))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "IDENTITY\tFROM\tSINCE\tWANTS")
	for _, r := range a.Requests {
		wants := "to join"
		if r.Renewal {
			wants = "another ticket"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Identity, r.From, r.Time, wants)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "`bellwether zone admit IDENTITY` lets one in, `bellwether zone requests --drop IDENTITY` turns one away; %s\n", openInvites(a))
	return err
}

// grantFlags are what a ticket says of its member.
type grantFlags struct{ role, maker, firmware, mac string }

func (f *grantFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.role, "role", "", "role, for the policy (default: that of its last ticket, else "+bus.Role+")")
	fl.StringVar(&f.maker, "maker", "", "manufacturer information")
	fl.StringVar(&f.firmware, "firmware", "", "SHA-256 of the firmware, in hexadecimal")
	fl.StringVar(&f.mac, "mac", "", "MAC address under which its traffic is observed: a malicious verdict about it ends the session")
}

func (f *grantFlags) grant() (g bus.Grant, err error) {
	g.Role, g.Maker = f.role, f.maker
	if f.firmware != "" {
		if err := g.Firmware.UnmarshalText([]byte(f.firmware)); err != nil {
			return g, usageError{fmt.Errorf("--firmware: %w", err)}
		}
	}
	if f.mac != "" {
		if g.MAC, err = zone.ParseMAC(f.mac); err != nil {
			return g, usageError{fmt.Errorf("--mac: %w", err)}
		}
	}
	return g, nil
}

func inviteCommand() *cobra.Command {
	var f orderFlags
	var g grantFlags
	var name, address string
	var open, takeBack bool
	var hold time.Duration
	c := &cobra.Command{
		Use: "invite --state DIR", Short: "Print an invite: what a follower has to know to come to this zone",
		Long: `Prints a URI, on a terminal also as a QR code, with the gateway's address, the zone,
the master's key and the pin of its TLS certificate. It has a one-time code that
admits the first follower that comes with it, so hand it over like a key; with --open
it has none, may be shown to anybody, and every follower waits for ` + "`bellwether zone admit`" + `.

A code holds for --for, by this machine's clock. A clock that is set back meanwhile lets
it hold longer, one that was never set (before 2026) lets it hold without an end.`,
		Example: `  bellwether zone invite --state /var/lib/bellwether --name lamp --role light
  bellwether zone invite --state /var/lib/bellwether --for 10m | ssh lamp bellwether-follower join - --state f`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := onlyOfCodes(cmd); err != nil {
				return err
			}
			o := gateway.MemberOrder{Do: gateway.DoInvite, Member: zone.MemberID(name), Address: address, Open: open}
			if hold < 0 {
				return usageError{fmt.Errorf("--for is %s: want a duration such as 24h, or 0 for no end", hold)}
			}
			if o.For = hold; hold == 0 {
				o.For = -1
			}
			if takeBack {
				return f.run(cmd, gateway.MemberOrder{Do: gateway.DoTakeBack}, func(w io.Writer, _ gateway.MemberAnswer) error {
					_, err := fmt.Fprintln(w, "no invite is open any more")
					return err
				})
			}
			var err error
			if o.Grant, err = g.grant(); err != nil {
				return err
			}
			return f.run(cmd, o, func(w io.Writer, a gateway.MemberAnswer) error {
				if !open {
					fmt.Fprintln(cmd.ErrOrStderr(), inviteHolds(a, hold))
				}
				return printInvite(w, a.Invite)
			})
		},
	}
	f.add(c)
	g.add(c)
	c.Flags().StringVar(&name, "name", "", "only a follower of this name (default: any)")
	c.Flags().StringVar(&address, "address", "", "HOST:PORT of the gateway (default: members.address)")
	c.Flags().DurationVar(&hold, "for", bus.InviteFor, "how long the code holds; 0: without an end")
	c.Flags().BoolVar(&open, "open", false, "without a code: an operator admits who comes")
	c.Flags().BoolVar(&takeBack, "take-back", false, "make every invite that was not used worthless")
	return c
}

// onlyOfCodes refuses flags that would say nothing: what a code grants, beside one that
// makes none.
func onlyOfCodes(cmd *cobra.Command) error {
	for _, without := range []string{"open", "take-back"} {
		for _, flag := range []string{"name", "role", "maker", "firmware", "mac", "for"} {
			if f := cmd.Flags(); f.Changed(without) && f.Changed(flag) {
				return usageError{fmt.Errorf("--%s is about an invite's code, and with --%s there is none: leave one out", flag, without)}
			}
		}
	}
	return nil
}

// inviteHolds says how long.
func inviteHolds(a gateway.MemberAnswer, hold time.Duration) string {
	switch {
	case a.Until != 0:
		return "it admits one follower, until " + a.Until.Std().Format(time.RFC3339)
	case hold > 0:
		return "it admits one follower, and holds without an end: this machine's clock is not set; `bellwether zone invite --take-back` ends it"
	}
	return "it admits one follower, and holds without an end"
}

func printInvite(w io.Writer, invite string) error {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		if err := printQR(w, invite); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, invite)
	return err
}

// printQR draws a QR code for a terminal, two rows of it in a line of text, with
// the quiet zone of four around it (ISO/IEC 18004).
func printQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return err
	}
	const quiet = 4
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // black on white, whatever the terminal's colours
		for x := -quiet; x < code.Size+quiet; x++ {
			i := 0
			if code.Black(x, y) {
				i |= 1
			}
			if code.Black(x, y+1) {
				i |= 2
			}
			b.WriteString([]string{" ", "▀", "▄", "█"}[i])
		}
		b.WriteString("\x1b[0m\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func admitCommand() *cobra.Command {
	var f orderFlags
	var g grantFlags
	c := &cobra.Command{
		Use: "admit NAME.KEY --state DIR", Short: "Sign a ticket for a follower: it may join",
		Long: `Signs a ticket for the follower with that identity, as ` + "`bellwether zone requests`" + ` and the
follower itself show it. If it waits, it has the ticket at once, else when it comes. A
member gets another ticket in the place of its last one.`,
		Args: exactly(1, "one NAME.KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			grant, err := g.grant()
			if err != nil {
				return err
			}
			o := gateway.MemberOrder{Do: gateway.DoAdmit, Identity: args[0], Grant: grant}
			return f.run(cmd, o, func(w io.Writer, _ gateway.MemberAnswer) error {
				_, err := fmt.Fprintf(w, "%s is admitted\n", args[0])
				return err
			})
		},
	}
	f.add(c)
	g.add(c)
	return c
}

// rollCommand is an order that leads to a transaction.
func rollCommand(use, short, do string) *cobra.Command {
	var f orderFlags
	var note string
	n := strings.Count(use, " ")
	c := &cobra.Command{Use: use + " --state DIR", Short: short, Args: exactly(n, []string{"no arguments", "one NAME"}[n]),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := gateway.MemberOrder{Do: do, Note: note}
			if n == 1 {
				id, err := zone.ParseMemberID(args[0])
				if err != nil {
					return usageError{err}
				}
				o.Member = id
			}
			return f.run(cmd, o, func(w io.Writer, a gateway.MemberAnswer) error {
				_, err := fmt.Fprintf(w, "%s, on the ledger as H-ID %s\n", strings.Join(append([]string{do}, args...), " "), a.ID)
				for _, v := range a.Released {
					what := v.MAC.String()
					if voice, _ := o.Member.Voice(); v.MAC == voice {
						what = string(o.Member) + " (messages)"
					}
					fmt.Fprintf(w, "put aside: %s, malicious since %s; what is found later counts\n", what, v.Since)
				}
				return err
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&note, "note", "", "why, for whoever reads the ledger")
	return c
}

func sayCommand() *cobra.Command {
	var f orderFlags
	var reply string
	say := new(bus.Say)
	c := &cobra.Command{
		Use: "say NAME TEXT --state DIR", Short: "Say something to a member in the master's name, or with the name * to all",
		Long: `Puts a message on the ledger, signed with the zone's key, from where it is delivered like
any other. It takes a gateway that runs. With --request the member may reply to it. With --reply
it replies to a request of the member to the master, by the request's H-ID as 'ledger show
--json' prints it: once, and as long as the request is open.`,
		Example: "  bellwether zone say lamp 'firmware 2.1 is out' --state /var/lib/bellwether",
		Args:    exactly(2, "a NAME and a TEXT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			say.To, say.Content = zone.MemberID(args[0]), []byte(args[1])
			if reply != "" {
				err := say.Reply.UnmarshalText([]byte(reply))
				if err == nil && say.Reply == (zone.HID{}) {
					err = errors.New("no request has the H-ID of zeros")
				}
				if err != nil {
					return usageError{fmt.Errorf("--reply: %w", err)}
				}
			}
			return f.run(cmd, gateway.MemberOrder{Do: gateway.DoSay, Say: say}, func(w io.Writer, a gateway.MemberAnswer) error {
				_, err := fmt.Fprintf(w, "said to %s, on the ledger as H-ID %s\n", args[0], a.ID)
				return err
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&say.Request, "request", false, "as a request, to which a reply is expected")
	c.Flags().StringVar(&reply, "reply", "", "H-ID of the request that this replies to")
	c.Flags().BoolVar(&say.Seal, "seal", false, "encrypt it, so that only the member can read it")
	return c
}

func policySetCommand() *cobra.Command {
	var f orderFlags
	var note string
	c := &cobra.Command{
		Use: "set FILE --state DIR", Short: "Give the zone another policy; it goes on the ledger and holds from the next transaction on",
		Args: exactly(1, "one FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if _, err := compilePolicy(args[0]); args[0] != "-" && err != nil {
				return err
			}
			return f.run(cmd, gateway.MemberOrder{Do: gateway.DoPolicy, Policy: text, Note: note}, func(w io.Writer, a gateway.MemberAnswer) error {
				_, err := fmt.Fprintf(w, "%s is the policy now, on the ledger as H-ID %s\n", args[0], a.ID)
				return err
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&note, "note", "", "why, for whoever reads the ledger")
	return c
}

func policyShowCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{Use: "show --state DIR", Short: "Print the zone's policy in force", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, gateway.MemberOrder{Do: gateway.DoShow}, func(w io.Writer, a gateway.MemberAnswer) error {
				if a.Policy == nil {
					return errors.New("the gateway shows no policy")
				}
				_, err := io.WriteString(w, a.Policy.Text)
				return err
			})
		}}
	f.add(c)
	return c
}
