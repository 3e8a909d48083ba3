package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client/callbacks"
)

const (
	defaultURL = "http://127.0.0.1:8080/webhooks/nxcloud"
	// answerTimeout is longer than any server takes to store a callback.
	answerTimeout = 30 * time.Second
	// answerLimit is how many characters of an answer are shown.
	answerLimit = 200
)

// send is one run of the command.
type send struct {
	console                          *console
	profile, url                     string
	accessKey, secretFile, algorithm string
	edits                            edits
	list                             bool
	format                           format
}

func newSendCommand(c *console) *cobra.Command {
	s := &send{console: c}
	cmd := &cobra.Command{
		Use:   "send [EXAMPLE | FILE | -]...",
		Short: "Post callbacks to a server, as the provider would",
		Long: `Post callbacks to a server over HTTP, as the provider would, to try the server out.

An argument is the name of a built-in example or the beginning of several names,
a file, or - for standard input. Without arguments all sixteen examples of
NXCloud's documentation are posted. Files are posted byte for byte.

The two user_preferences examples name no account: their events stay without one
unless the server's configuration maps their phone number to it, under "numbers".
--phone sets that number.

A server recognises a callback that it already has and stores it only once: use
--now to make new events of the examples each second.

With --access-key the callbacks are signed. The secret comes from
WABASTREAM_SECRET or --secret-file, never from the command line, which other users
of the machine can read.

A line is printed for each: name, HTTP status, answer. The exit code is 8 unless
every answer was 200.`,
		Example: `  # All examples, for an account and a number that you will recognise.
  wabastream send --waba 1234 --phone 15550001111

  # What can be sent.
  wabastream send --list

  # A ban, then its end, as if they happened now.
  wabastream send --now account_update.disabled_update.disable account_update.disabled_update.reinstate

  # A callback of your own, signed.
  WABASTREAM_SECRET=... wabastream send --access-key my-key callback.json

  # From another program.
  jq -n '{field: "account_update", value: {event: "SOMETHING_NEW"}}' | wabastream send -`,
		ValidArgsFunction: completeExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := refuseEmpty(cmd.Flags(), "waba", "phone"); err != nil {
				return err
			}
			return s.run(cmd.Context(), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.url, "url", "", "where to post: the server's webhook address and the source (default: "+envURL+", else the profile's, else "+defaultURL+")")
	addProfileFlag(cmd, c, &s.profile)
	flags.StringVar(&s.accessKey, "access-key", "", "sign with this access key")
	flags.StringVar(&s.secretFile, "secret-file", "", "file with the access key's secret (default: the secret in WABASTREAM_SECRET)")
	flags.StringVar(&s.algorithm, "algorithm", "", "with --access-key: signature algorithm, sha256 or md5 (default sha256)")
	flags.StringVar(&s.edits.waba, "waba", "", "put this account in the examples, where the documentation masks it")
	flags.StringVar(&s.edits.phone, "phone", "", "put this business phone number in the examples, where the documentation masks it")
	flags.BoolVar(&s.edits.now, "now", false, "put the current time in the examples")
	flags.BoolVar(&s.list, "list", false, "print the names of the examples and send nothing")
	s.format.addFlags(cmd)
	complete(cmd, "algorithm", "sha256", "md5")
	completeNothing(cmd, "url", "access-key", "waba", "phone")
	return cmd
}

func completeExamples(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, example := range callbacks.NXCloud() {
		if strings.HasPrefix(example.Name, begun) {
			names = append(names, example.Name)
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

func (s *send) run(ctx context.Context, args []string) error {
	if s.list {
		return s.printNames(args)
	}
	if err := s.settle(); err != nil {
		return err
	}
	signer, err := s.signer()
	if err != nil {
		return err
	}
	if err := checkURL(s.url); err != nil {
		return err
	}
	examples := callbacks.NXCloud()
	for i := range examples {
		examples[i].Body = s.edits.apply(examples[i].Body, time.Now())
	}
	chooser := chooser{stdin: s.console.in, builtins: examples, onlyExamples: s.edits.flag()}
	chosen, err := chooser.choose(args)
	if err != nil {
		return err
	}
	return s.postAll(ctx, signer, chosen)
}

// settle completes the flags.
func (s *send) settle() error {
	if s.format.name == "" && s.format.text == "" {
		s.format.name = formatTable // a table is easy for programs, too
	}
	if err := s.format.settle(s.console, sentFields{}); err != nil {
		return err
	}
	chosen, err := chooseProfile(s.console, s.url, envURL, s.profile)
	switch {
	case err != nil:
		return err
	case chosen == nil:
		s.url = cmp.Or(s.url, s.console.env(envURL), defaultURL)
		return nil
	case chosen.URL == "":
		return usagef("profile %q has no url: set one, or give --url", chosen.name)
	}
	s.url = chosen.URL
	if s.accessKey == "" {
		s.accessKey = chosen.AccessKey
		s.secretFile = cmp.Or(s.secretFile, chosen.SecretFile)
	}
	return nil
}

func (s *send) printNames(args []string) error {
	if len(args) > 0 {
		return usagef("--list takes no arguments, but has %q", args[0])
	}
	for _, example := range callbacks.NXCloud() {
		if _, err := fmt.Fprintln(s.console.out, example.Name); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return usagef("--url %q: want an address such as %s", text, defaultURL)
	}
	return nil
}

// signer returns nil when callbacks are to be posted unsigned.
func (s *send) signer() (*signer, error) {
	if s.accessKey == "" {
		return nil, s.checkUnsigned()
	}
	algorithm := cmp.Or(s.algorithm, "sha256")
	if err := oneOf("algorithm", algorithm, "sha256", "md5"); err != nil {
		return nil, err
	}
	secret, err := s.secret()
	if err != nil {
		return nil, err
	}
	return &signer{accessKey: s.accessKey, secret: secret, algorithm: algorithm}, nil
}

// checkUnsigned refuses flags that are for signing.
func (s *send) checkUnsigned() error {
	switch {
	case s.secretFile != "":
		return usagef("--secret-file has no effect without --access-key")
	case s.algorithm != "":
		return usagef("--algorithm has no effect without --access-key")
	default:
		return nil
	}
}

func (s *send) secret() (string, error) {
	secret := s.console.env("WABASTREAM_SECRET")
	if s.secretFile != "" {
		text, err := os.ReadFile(s.secretFile)
		if err != nil {
			return "", fmt.Errorf("read --secret-file: %w", err)
		}
		secret = strings.TrimRight(string(text), "\r\n")
	}
	if secret == "" {
		return "", usagef("--access-key needs a secret: set WABASTREAM_SECRET or give --secret-file")
	}
	return secret, nil
}

// postAll goes on after a refusal, but not when there is nobody to refuse.
func (s *send) postAll(ctx context.Context, signer *signer, chosen []callbacks.Callback) error {
	web := &http.Client{
		Timeout: answerTimeout,
		// The provider does not follow redirects either: an answer is an answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer web.CloseIdleConnections()
	width := 0
	for _, callback := range chosen {
		width = max(width, len(callback.Name))
	}
	refused := 0
	for _, callback := range chosen {
		status, text, err := s.post(ctx, web, signer, callback.Body)
		if err != nil {
			return fmt.Errorf("%s: %w", callback.Name, err)
		}
		if status != http.StatusOK {
			refused++
		}
		sent := sentFields{Name: clean(callback.Name), Status: status, Answer: clean(text)}
		if err := s.format.write(s.console.out, answer{
			table:   func() string { return fmt.Sprintf("%-*s  %d  %s\n", width, sent.Name, sent.Status, sent.Answer) },
			message: sent,
			fields:  func() any { return sent },
		}); err != nil {
			return err
		}
	}
	if refused > 0 {
		return codedError{fmt.Errorf("%d of %d callbacks were not answered with 200", refused, len(chosen)), exitRefused}
	}
	return nil
}

func (s *send) post(ctx context.Context, web *http.Client, signer *signer, body []byte) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if signer != nil {
		signer.sign(request.Header, body, time.Now())
	}
	response, err := web.Do(request)
	if err != nil {
		return 0, "", codedError{fmt.Errorf("%w; is a server running there? --url names another", err), exitUnreachable}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4*answerLimit+1))
	if err != nil {
		return 0, "", fmt.Errorf("read answer: %w", err)
	}
	return response.StatusCode, shorten(strings.TrimSpace(string(text)), answerLimit), nil
}
