package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// maxOptOutPage is the most persons that a server puts on one page.
const maxOptOutPage = 10_000

// optOuts is one run of the command.
type optOuts struct {
	console    *console
	connection connection
	format     format
	phone      string
	person     string
}

func newOptOutsCommand(c *console) *cobra.Command {
	o := &optOuts{console: c}
	cmd := &cobra.Command{
		Use:   "opt-outs --phone NUMBER",
		Short: "List who wants no marketing messages of a number",
		Long: `List the persons who want no marketing messages of a business phone number, in the
order in which they chose. With --person it prints that person's last choice, whatever it
was.

Persons are shown as far as you may see them: as they are, as pseudonyms, or not at all.`,
		Example: `  wabastream opt-outs --phone 15557902885

  # Only who they are, for a campaign to leave out.
  wabastream opt-outs --phone 15557902885 --template '{{.Person}}' > leave-out.txt

  # May this person get marketing messages?
  wabastream opt-outs --phone 15557902885 --person 4915112345678 --output json`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd.Flags(), "phone", "person"); err != nil {
				return err
			}
			if o.phone == "" {
				return usagef("opt-outs needs --phone NUMBER: the business's number")
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.phone, "phone", "", "the business's number")
	flags.StringVar(&o.person, "person", "", "only this person's last choice, by WhatsApp id")
	o.format.addFlags(cmd)
	o.connection.addFlags(cmd, c)
	completeNothing(cmd, "phone", "person")
	return cmd
}

func (o *optOuts) run(ctx context.Context) error {
	if err := o.format.settle(o.console, optOutFields{}); err != nil {
		return err
	}
	c, err := o.connection.dial(o.console)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.person != "" {
		return o.one(ctx, c)
	}
	return o.all(ctx, c)
}

func (o *optOuts) one(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	got, err := c.Accounts().GetMarketingPreference(ctx, &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: o.phone, WaId: o.person})
	if err != nil {
		return o.connection.explain("no answer", client.ErrorOf(err))
	}
	return o.print(got.GetPreference(), true)
}

func (o *optOuts) all(ctx context.Context, c *client.Client) error {
	request := &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: o.phone, PageSize: maxOptOutPage}
	for first := true; ; {
		page, err := o.page(ctx, c, request)
		if err != nil {
			return err
		}
		for _, p := range page.GetOptOuts() {
			if err := o.print(p, first); err != nil {
				return err
			}
			first = false
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken != "" {
			continue
		}
		if first && o.format.name == formatTable {
			_, err = fmt.Fprintln(o.console.err, "-- nobody is known to have opted out")
		}
		return err
	}
}

func (o *optOuts) page(ctx context.Context, c *client.Client, request *wabastreamv1.ListMarketingOptOutsRequest) (*wabastreamv1.ListMarketingOptOutsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, err := c.Accounts().ListMarketingOptOuts(ctx, request)
	if err != nil {
		return nil, o.connection.explain("no list", client.ErrorOf(err))
	}
	return page, nil
}

func (o *optOuts) print(p *wabastreamv1.MarketingPreference, first bool) error {
	return o.format.write(o.console.out, answer{
		table:   func() string { return optOutRows(p, first) },
		message: p,
		fields:  func() any { return newOptOutFields(p) },
	})
}

func optOutRows(p *wabastreamv1.MarketingPreference, first bool) string {
	text := ""
	if first {
		text = optOutRow("PERSON", "CHOICE", "HAPPENED", "ACCOUNT")
	}
	return text + optOutRow(p.GetWaId(), p.GetValueText(), localTime(p.GetOrigin().GetOccurTime()), p.GetWabaId())
}

func optOutRow(person, choice, happened, waba string) string {
	return strings.Join([]string{pad(person, 34), pad(choice, 8), pad(happened, len(timeLayout)), pad(waba, 0)}, "  ") + "\n"
}
