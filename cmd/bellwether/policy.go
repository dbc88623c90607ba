package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/policy"
)

func policyCommand() *cobra.Command {
	return group("policy", "Who may do what to whom: check, test and explain policies",
		policyCheckCommand(), policyTestCommand(), policyExplainCommand(), policyDefaultCommand(), policySetCommand(), policyShowCommand())
}

// readPolicy reads a policy text, from standard input with "-".
func readPolicy(path string) (string, error) {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, policy.MaxText+1)) // one more, so that it is found too long
	return string(b), err
}

// compilePolicy reads and compiles a policy text; an error names the first
// problem, with the file and its place.
func compilePolicy(path string) (*policy.Set, error) {
	text, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(text)
	var wrong *policy.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s:%s; `bellwether policy check` names every problem", path, wrong.Problems[0])
	}
	return set, err
}

func policyCheckCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check FILE", Short: "Check that a policy can be the zone's",
		Long: `Reads policies in the Cedar language and holds every one against the schema of a zone:
its actions, kinds of members, groups and objects, their attributes and types. Names
each problem as FILE:line:column, with what exists instead. FILE may be - for standard
input. docs/policy.md has the schema and examples; start from the default:`,
		Example: "  bellwether policy default > zone.cedar\n  bellwether policy check zone.cedar",
		Args:    exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			set, err := policy.Compile(text)
			return reportCheck(cmd.OutOrStdout(), args[0], text, set, err, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print policies or problems as JSON")
	return c
}

// checkReport is what policy check prints as JSON.
type checkReport struct {
	SHA256   string           `json:"sha256"` // of the text
	Bytes    int              `json:"bytes"`
	Policies []policy.Policy  `json:"policies"`
	Problems []policy.Problem `json:"problems"`
}

func reportCheck(w io.Writer, path, text string, set *policy.Set, err error, asJSON bool) error {
	r := checkReport{SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text))), Bytes: len(text), Policies: []policy.Policy{}, Problems: []policy.Problem{}}
	var wrong *policy.Error
	switch {
	case errors.As(err, &wrong):
		r.Problems = wrong.Problems
		err = fmt.Errorf("%s: %d problems: this cannot be a zone's policy", path, len(r.Problems))
	case err != nil:
		return err
	default:
		r.Policies = set.Policies()
	}
	if asJSON {
		return errors.Join(printJSON(w, r), err)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s:%s\n", path, p)
	}
	for _, p := range r.Policies {
		fmt.Fprintf(w, "  %-6s  %-24s line %d\n", p.Effect, p.ID, p.Line)
	}
	if err == nil {
		fmt.Fprintf(w, "%s: %d policies, %d of %d bytes, SHA-256 %s\n", path, len(r.Policies), r.Bytes, policy.MaxText, r.SHA256)
	}
	return err
}

func policyDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use: "default", Short: "Print the policy of a zone that sets none",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprint(cmd.OutOrStdout(), policy.Default)
			return nil
		},
	}
}

func policyTestCommand() *cobra.Command {
	var cases string
	var asJSON bool
	c := &cobra.Command{
		Use: "test FILE --cases CASES.yaml", Short: "Hold a policy against a table of requests and what is wanted",
		Long: `Decides every request of a table and compares with what the table wants. Prints each
one that is decided otherwise, with the policies that decided it. A table looks like this:

  members:
    thermostat: {role: sensor}
    hub: {role: hub}
  cases:
  - name: sensors reach the hub
    principal: thermostat
    action: send
    resource: hub              # a member; all for everyone; hub/log for an object
    context: {size: 200, encrypted: true}
    want: allow                # or deny
    by: [sensors-to-hub]       # the policies that decide; may be left out

A reply that is allowed may be given to an open request alone, whatever else is allowed.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := compilePolicy(args[0])
			if err != nil {
				return err
			}
			table, err := readCases(cases)
			if err != nil {
				return err
			}
			return table.run(cmd.OutOrStdout(), set, cases, asJSON)
		},
	}
	c.Flags().StringVar(&cases, "cases", "", "table of requests, YAML")
	c.MarkFlagRequired("cases")
	c.Flags().BoolVar(&asJSON, "json", false, "print every case as JSON")
	return c
}

// explainFlags are the flags of policy explain.
type explainFlags struct {
	principal, whom  caseMember
	action, resource string
	context          caseContext
	cases            string
	json             bool
}

func policyExplainCommand() *cobra.Command {
	var f explainFlags
	var who string
	c := &cobra.Command{
		Use: "explain FILE --principal MEMBER --action ACTION --resource RESOURCE", Short: "Say whether a policy allows a request, and which part of it decides",
		Long: `Decides one request. What is known of the members comes from flags, or with --cases from
the members of a table as ` + "`policy test`" + ` takes it. An answer is the policy's alone: the ledger
also wants a reply to be to an open request that the resource made of the principal, once.`,
		Example: "  bellwether policy explain zone.cedar --principal thermostat --role sensor --action send --resource hub --resource-role hub",
		Args:    exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := compilePolicy(args[0])
			if err != nil {
				return err
			}
			return f.run(cmd.OutOrStdout(), set, who)
		},
	}
	fl := c.Flags()
	fl.StringVar(&who, "principal", "", "the member that acts")
	fl.StringVar(&f.action, "action", "", "what it does: "+strings.Join(policy.Actions(), ", "))
	fl.StringVar(&f.resource, "resource", "", "to whom or what: a member, all for everyone, or owner/name for an object")
	for _, name := range []string{"principal", "action", "resource"} {
		c.MarkFlagRequired(name)
	}
	fl.StringVar(&f.principal.Role, "role", "", "role of the principal")
	fl.StringVar(&f.principal.Manufacturer, "manufacturer", "", "its manufacturer")
	fl.StringVar(&f.principal.Firmware, "firmware", "", "its firmware, in hexadecimal")
	fl.Uint64Var(&f.principal.Epoch, "epoch", 0, "its key epoch")
	fl.Uint64Var(&f.principal.Associated, "associated", 0, "height of the block that took it in")
	fl.BoolVar(&f.principal.Flagged, "flagged", false, "it was found malicious and is not released")
	fl.StringVar(&f.whom.Role, "resource-role", "", "role of the resource, or of the object's owner")
	fl.BoolVar(&f.whom.Flagged, "resource-flagged", false, "the resource, or the object's owner, is flagged")
	fl.Uint64Var(&f.context.Size, "size", 0, "bytes of the message or object")
	fl.Uint64Var(&f.context.Height, "height", 0, "height of the ledger")
	fl.BoolVar(&f.context.Encrypted, "encrypted", false, "the message is encrypted")
	fl.StringVar(&f.cases, "cases", "", "table whose members are meant")
	fl.BoolVar(&f.json, "json", false, "print as JSON")
	return c
}

// explained is what policy explain prints as JSON.
type explained struct {
	policy.Decision
	Policies []policy.Policy `json:"policies"` // those of Reasons
	Silent   []policy.Policy `json:"silent"`   // permits of this action that do not hold here
}

func (f *explainFlags) run(w io.Writer, set *policy.Set, who string) error {
	table := &caseTable{Members: map[string]caseMember{}}
	if f.cases != "" {
		var err error
		if table, err = readCases(f.cases); err != nil {
			return err
		}
	} else {
		owner, _, _ := strings.Cut(f.resource, "/")
		table.Members[owner] = f.whom
		table.Members[who] = f.principal
	}
	r, err := table.request(&policyCase{Principal: who, Action: f.action, Resource: f.resource, Context: f.context})
	if err != nil {
		return usageError{err}
	}
	e := explained{Decision: set.Decide(r), Policies: []policy.Policy{}, Silent: []policy.Policy{}}
	for _, p := range set.About(f.action) {
		switch {
		case slices.Contains(e.Reasons, p.ID):
			e.Policies = append(e.Policies, p)
		case p.Effect == "permit":
			e.Silent = append(e.Silent, p)
		}
	}
	if f.json {
		return printJSON(w, e)
	}
	e.print(w, who, f.action, f.resource)
	return nil
}

func (e *explained) print(w io.Writer, who, action, whom string) {
	preposition := ""
	if action == "send" || action == "reply" {
		preposition = "to "
	} else if action == "request" {
		preposition = "from "
	}
	answer := "denied"
	if e.Allowed {
		answer = "allowed"
	}
	fmt.Fprintf(w, "%s: %s, %s %s%s\n", answer, who, action, preposition, whom)
	switch {
	case !e.Allowed:
	case whom == policy.Everyone && action != "send":
		fmt.Fprintf(w, "  but by the policy alone: the ledger takes no %s to everyone\n", action)
	case action == "reply":
		fmt.Fprintf(w, "  to each open request that %s made of %s, once: the ledger takes no other reply\n", whom, who)
	}
	for _, p := range e.Policies {
		fmt.Fprintf(w, "  by the %s %s, line %d\n", p.Effect, p.ID, p.Line)
		if p.Description != "" {
			fmt.Fprintf(w, "    %s\n", p.Description)
		}
	}
	for _, err := range e.Errors {
		fmt.Fprintf(w, "  since %s\n", err)
	}
	if len(e.Policies) == 0 && len(e.Errors) == 0 {
		fmt.Fprintln(w, "  since nothing permits it, and what is not permitted is denied")
		for _, p := range e.Silent {
			fmt.Fprintf(w, "  %s, line %d, permits %s, but not this\n", p.ID, p.Line, action)
		}
	}
}
