package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const (
	envAddr    = "WABASTREAM_ADDR"
	envURL     = "WABASTREAM_URL"
	envProfile = "WABASTREAM_PROFILE"
	// localProfile is the name of having none: the server of this machine.
	localProfile = "local"
)

// profile is how to reach one server. It holds no secret: only where they are.
type profile struct {
	name string
	// Addr is the gRPC address.
	Addr string `yaml:"addr" json:"addr"`
	// TokenFile, CAFile, TLS and Insecure are as the flags of their names.
	TokenFile string `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	CAFile    string `yaml:"ca_file,omitempty" json:"ca_file,omitempty"`
	TLS       bool   `yaml:"tls,omitempty" json:"tls,omitempty"`
	Insecure  bool   `yaml:"insecure,omitempty" json:"insecure,omitempty"`
	// URL, AccessKey and SecretFile are those of send.
	URL        string `yaml:"url,omitempty" json:"url,omitempty"`
	AccessKey  string `yaml:"access_key,omitempty" json:"access_key,omitempty"`
	SecretFile string `yaml:"secret_file,omitempty" json:"secret_file,omitempty"`
}

// profiles is the file that they are in.
type profiles struct {
	path string
	// Current is the profile of commands that name none; empty is localProfile.
	Current  string              `yaml:"current,omitempty"`
	Profiles map[string]*profile `yaml:"profiles,omitempty"`
}

// loadProfiles reads the user's file; without one there are no profiles. A member
// that does not exist is an error: it may be what keeps strangers out.
func loadProfiles(c *console) (*profiles, error) {
	dir, err := c.configDir()
	if err != nil {
		return nil, fmt.Errorf("find the profiles: %w", err)
	}
	p := &profiles{path: filepath.Join(dir, "wabastream", "profiles.yaml"), Profiles: map[string]*profile{}}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the profiles in %s: %w", p.path, err)
	}
	for name, each := range p.Profiles {
		if each == nil || each.Addr == "" {
			return nil, fmt.Errorf("read the profiles in %s: %q has no addr", p.path, name)
		}
		each.name = name
		each.resolve(filepath.Dir(p.path))
	}
	return p, nil
}

// resolve makes the names of files independent of where a command runs: they are
// relative to the folder that the profiles are in.
func (p *profile) resolve(dir string) {
	for _, file := range []*string{&p.TokenFile, &p.CAFile, &p.SecretFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	}
}

// save replaces the file as a whole: another command never reads half of it.
func (p *profiles) save() error {
	text, err := yaml.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	next := p.path + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	if err := os.Rename(next, p.path); err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	return nil
}

// names are those of the file and localProfile, sorted.
func (p *profiles) names() []string {
	names := append(slices.Collect(maps.Keys(p.Profiles)), localProfile)
	slices.Sort(names)
	return slices.Compact(names)
}

// find returns nil for localProfile.
func (p *profiles) find(name string) (*profile, error) {
	if name == localProfile {
		return nil, nil
	}
	if found := p.Profiles[name]; found != nil {
		return found, nil
	}
	return nil, usagef("no such profile: %q; 'wabastream profile list' shows them", name)
}

// chooseProfile finds the profile that a command is to use; nil is none. What names a
// server on the command line wins over the environment, and that over the profile in
// use. Where two of the same rank name one, neither is a guess worth making: the
// wrong server could get the token, or the callbacks.
//
// address is what the command line says where the server is, and variable where the
// environment would say it.
func chooseProfile(c *console, address, variable, name string) (*profile, error) {
	if address != "" && name != "" {
		return nil, usagef("--profile %s names a server, and so does %q", name, address)
	}
	if address != "" {
		return nil, nil
	}
	if name == "" {
		name = c.env(envProfile)
		switch {
		case name != "" && c.env(variable) != "":
			return nil, usagef("%s and %s exclude each other", variable, envProfile)
		case c.env(variable) != "":
			return nil, nil
		}
	}
	if _, err := c.configDir(); err != nil && name == "" {
		return nil, nil // no home, as under cron: then there is no profile in use either
	}
	all, err := loadProfiles(c)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = all.Current
	}
	if name == "" {
		return nil, nil
	}
	return all.find(name)
}

func addProfileFlag(cmd *cobra.Command, c *console, name *string) {
	cmd.Flags().StringVar(name, "profile", "", "the server of this profile (default: "+envProfile+", else the one in use; see 'wabastream profile --help')")
	completeBy(cmd, "profile", completeProfiles(c))
}

// completeProfiles offers the names of profiles. Without a file there are none, and
// what is wrong with one is told when the command runs.
func completeProfiles(c *console) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		all, err := loadProfiles(c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all.names(), cobra.ShellCompDirectiveNoFileComp
	}
}
