package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/server/internal/access"
)

func newTokenCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "token",
		Short: "Make tokens for consumers",
		Long: `Make tokens for consumers: what a service sends to show who it is, in the header
"authorization: Bearer TOKEN".`,
		Example: `  wabastreamd token new --consumer billing`,
		Args:    noArguments,
		RunE:    func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newTokenNewCommand())
	return command
}

// tokenOptions say what a token is for.
type tokenOptions struct {
	consumer string
	validFor time.Duration
	asJSON   bool
}

func newTokenNewCommand() *cobra.Command {
	options := tokenOptions{}
	command := &cobra.Command{
		Use:   "new",
		Short: "Make a token and print it once",
		Long: `Make a token and print it once, with its hash for the access file.

The token goes to the consumer, best through its secret store; the server keeps
the hash only, which lets nobody in. It is 256 random bits: nobody guesses it, and
whoever has it is the consumer.

To replace a token without an interruption: add the hash of the new one below the
old one's, give the consumer the new token, then remove the old hash. The server
takes up the file within seconds. A removed or expired token ends the streams that
were opened with it.`,
		Example: `  wabastreamd token new --consumer billing

  # One that ends by itself, after 90 days.
  wabastreamd token new --consumer billing --valid-for 2160h

  # For a script.
  wabastreamd token new --json | jq -r .token`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			return options.write(command.OutOrStdout(), time.Now())
		},
	}
	command.Flags().StringVar(&options.consumer, "consumer", "", "`name` of the consumer, for the lines to paste")
	command.Flags().DurationVar(&options.validFor, "valid-for", 0, "how long the token is valid (default for ever)")
	command.Flags().BoolVar(&options.asJSON, "json", false, "print JSON")
	return command
}

// newToken is a token as it is printed for scripts.
type newToken struct {
	Token      string     `json:"token"`
	Hash       string     `json:"hash"`
	ExpireTime *time.Time `json:"expire_time,omitempty"`
}

func (o tokenOptions) write(w io.Writer, now time.Time) error {
	name := "billing"
	if o.consumer != "" {
		name = o.consumer
	}
	if err := access.CheckName(name); err != nil {
		return fmt.Errorf("--consumer: %w", err)
	}
	if o.validFor < 0 || o.validFor != 0 && o.validFor < time.Minute {
		return fmt.Errorf("--valid-for: %v; want at least a minute, or 0 for ever", o.validFor)
	}
	var made newToken
	made.Token, made.Hash = access.NewToken()
	entry := fmt.Sprintf("%q", made.Hash)
	if o.validFor > 0 {
		end := now.Add(o.validFor).UTC().Truncate(time.Second)
		made.ExpireTime = &end
		entry = fmt.Sprintf("{hash: %q, expire_time: %s}", made.Hash, end.Format(time.RFC3339))
	}
	if o.asJSON {
		return json.NewEncoder(w).Encode(made)
	}
	_, err := fmt.Fprintf(w, `The token, which is shown this once; the consumer sends it as
"authorization: Bearer TOKEN":

  %s

For the access file, where more tokens of the consumer may stand beside it:

consumers:
  - name: %s
    tokens:
      - %s
    # What it may see and do; what is not mentioned is withheld.
    waba_ids: ["*"]
    types: ["*"]
`, made.Token, name, entry)
	return err
}
