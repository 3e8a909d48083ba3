package app

import (
	"context"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// projectAccounts has the log keep the state of accounts, which also tells whose the
// numbers are of callbacks that name no account. It comes before anything is removed
// from the log.
func (a *App) projectAccounts(ctx context.Context) (err error) {
	projection, err := accounts.CountedProjection(a.registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if a.state, err = a.log.Project(ctx, projection); err != nil {
		return fmt.Errorf("keep the state of accounts: %w", err)
	}
	if a.learned, err = accounts.NewAttribution(a.state, a.registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// serveAccounts makes the service that answers from the state.
func (a *App) serveAccounts() (err error) {
	a.accounts, err = accounts.New(accounts.Config{
		Log:          a.log,
		State:        a.state,
		Cursors:      accounts.Cursors{Format: stream.Cursor, Parse: stream.ParseCursor},
		Admit:        a.stream.Admit,
		Pseudonym:    a.policy.Pseudonym,
		MaxStreamAge: a.config.MaxStreamAge,
		Logger:       a.logger.With("component", "accounts"),
		Registerer:   a.registry,
	})
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
