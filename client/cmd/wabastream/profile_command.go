package main

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
)

func newProfileCommand(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Remember servers by name",
		Long: `Remember how to reach servers, each under a name: its address, how it is to be spoken
to, and the files that tokens and secrets are in. They are in the file profiles.yaml
in the folder wabastream in your configuration folder ($XDG_CONFIG_HOME or ~/.config
on Linux); no token or secret ever is.

  current: production
  profiles:
    production:
      addr: events.example.com:443
      token_file: production.token   # relative to the folder of this file
      ca_file: /etc/ssl/internal.pem
    staging:
      addr: staging.example.com:443
      url: https://hooks.staging.example.com/webhooks/nxcloud
      access_key: fme2na3kdi3ki
      secret_file: staging.secret

A command takes the server that --addr, --url or --profile names; else the one of
WABASTREAM_ADDR, for send WABASTREAM_URL, or WABASTREAM_PROFILE; else that of the profile in use; else the one
on this machine, which is also the profile "local". A profile does nothing for a
server that was named in another way: its token goes to its own server only.`,
		Example: `  wabastream profile set production --addr events.example.com:443 --token-file ~/.secrets/wabastream
  wabastream profile use production
  wabastream log

  # One command with another server.
  wabastream log --profile local`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newProfileListCommand(c), newProfileSetCommand(c), newProfileUseCommand(c),
		newProfileShowCommand(c), newProfileRemoveCommand(c))
	return cmd
}

func newProfileListCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the profiles; a star is at the one in use",
		Example: "  wabastream profile list",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			all, err := loadProfiles(c)
			if err != nil {
				return err
			}
			return all.list(c.out)
		},
	}
}

func (p *profiles) list(out io.Writer) error {
	current := p.current()
	for _, name := range p.names() {
		star, addr := " ", defaultAddr
		if name == current {
			star = "*"
		}
		if found := p.Profiles[name]; found != nil {
			addr = found.Addr
		}
		if _, err := fmt.Fprintf(out, "%s %-20s  %s\n", star, clean(name), clean(addr)); err != nil {
			return err
		}
	}
	return nil
}

func (p *profiles) current() string {
	if p.Current == "" {
		return localProfile
	}
	return p.Current
}

// profileSet is one run of "profile set".
type profileSet struct {
	console    *console
	connection connection
	send       profile
}

func newProfileSetCommand(c *console) *cobra.Command {
	s := &profileSet{console: c}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Make a profile, or change what the flags name of it",
		Long: `Make the profile NAME, or change what the flags name of it. A new one needs --addr.
An empty value, such as --ca-file "", takes something out. Tokens and secrets stay in
their files: the profile only says where they are.`,
		Example: `  wabastream profile set production --addr events.example.com:443 --token-file ~/.secrets/wabastream

  # Where send posts, too.
  wabastream profile set staging --url https://hooks.staging.example.com/webhooks/nxcloud`,
		Args:              oneProfile,
		ValidArgsFunction: completeProfiles(c),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&s.connection.addr, "addr", "", "gRPC address of the server, port "+defaultPort+" unless it names one")
	s.connection.addSecurityFlags(cmd)
	cmd.Flags().StringVar(&s.send.URL, "url", "", "where send posts: the server's webhook address and the source")
	cmd.Flags().StringVar(&s.send.AccessKey, "access-key", "", "access key that send signs with")
	cmd.Flags().StringVar(&s.send.SecretFile, "secret-file", "", "file with the access key's secret")
	completeNothing(cmd, "url", "access-key")
	return cmd
}

// oneProfile wants a name that a profile can have.
func oneProfile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes the name of one profile", cmd.Name())
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(args[0]) {
		return usagef("%q cannot name a profile: want up to 64 letters, digits, \".\", \"_\" and \"-\"", args[0])
	}
	return nil
}

func (s *profileSet) run(cmd *cobra.Command, name string) error {
	if name == localProfile {
		return usagef("%q is the server of this machine and cannot be changed", name)
	}
	all, err := loadProfiles(s.console)
	if err != nil {
		return err
	}
	changed := all.Profiles[name]
	if changed == nil {
		changed = &profile{}
		all.Profiles[name] = changed
	}
	if err := s.change(cmd, changed); err != nil {
		return err
	}
	if changed.Addr == "" {
		return usagef("profile %q needs --addr", name)
	}
	if changed.Insecure && (changed.TLS || changed.CAFile != "") {
		return usagef("--insecure excludes --tls and --ca-file")
	}
	return all.save()
}

// change takes over the flags that were given.
func (s *profileSet) change(cmd *cobra.Command, p *profile) error {
	given := cmd.Flags().Changed
	for flag, set := range map[string]func(){
		"addr":       func() { p.Addr = s.connection.addr },
		"tls":        func() { p.TLS = s.connection.tls },
		"insecure":   func() { p.Insecure = s.connection.insecure },
		"url":        func() { p.URL = s.send.URL },
		"access-key": func() { p.AccessKey = s.send.AccessKey },
	} {
		if given(flag) {
			set()
		}
	}
	for _, file := range []struct {
		flag, value string
		into        *string
	}{
		{"token-file", s.connection.tokenFile, &p.TokenFile},
		{"ca-file", s.connection.caFile, &p.CAFile},
		{"secret-file", s.send.SecretFile, &p.SecretFile},
	} {
		if !given(file.flag) {
			continue
		}
		*file.into = file.value
		if file.value == "" {
			continue
		}
		absolute, err := filepath.Abs(file.value)
		if err != nil {
			return fmt.Errorf("--%s: %w", file.flag, err)
		}
		*file.into = absolute
	}
	if p.URL != "" {
		return checkURL(p.URL)
	}
	return nil
}

func newProfileUseCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Have commands use a profile from now on",
		Example:           "  wabastream profile use production\n\n  # The server of this machine again.\n  wabastream profile use local",
		Args:              oneProfile,
		ValidArgsFunction: completeProfiles(c),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := loadProfiles(c)
			if err != nil {
				return err
			}
			if _, err := all.find(args[0]); err != nil {
				return err
			}
			all.Current = args[0]
			return all.save()
		},
	}
}

func newProfileRemoveCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Forget a profile",
		Long:              "Forget a profile. The files that it names stay.",
		Example:           "  wabastream profile remove staging",
		Args:              oneProfile,
		ValidArgsFunction: completeProfiles(c),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := loadProfiles(c)
			if err != nil {
				return err
			}
			found, err := all.find(args[0])
			if err != nil {
				return err
			}
			if found == nil {
				return usagef("%q is the server of this machine and cannot be removed", args[0])
			}
			delete(all.Profiles, args[0])
			if all.Current == args[0] {
				all.Current = ""
			}
			return all.save()
		},
	}
}

func newProfileShowCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show a profile, by default the one in use",
		Example:           "  wabastream profile show\n  wabastream profile show staging",
		Args:              atMostOneProfile,
		ValidArgsFunction: completeProfiles(c),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := loadProfiles(c)
			if err != nil {
				return err
			}
			name := all.current()
			if len(args) == 1 {
				name = args[0]
			}
			found, err := all.find(name)
			if err != nil {
				return err
			}
			if found == nil {
				found = &profile{Addr: defaultAddr, URL: defaultURL}
			}
			return found.show(c.out, name, all.path)
		},
	}
}

func atMostOneProfile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneProfile(cmd, args)
}

func (p *profile) show(out io.Writer, name, path string) error {
	rows := [][2]string{
		{"profile", name},
		{"file", path},
		{"addr", p.Addr},
		{"tls", trueOrNothing(p.TLS)},
		{"insecure", trueOrNothing(p.Insecure)},
		{"token_file", p.TokenFile},
		{"ca_file", p.CAFile},
		{"url", p.URL},
		{"access_key", p.AccessKey},
		{"secret_file", p.SecretFile},
	}
	rows = slices.DeleteFunc(rows, func(row [2]string) bool { return row[1] == "" })
	_, err := io.WriteString(out, detail(rows))
	return err
}

func trueOrNothing(b bool) string {
	if b {
		return "true"
	}
	return ""
}
