package accounts

import (
	"context"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// accountNumbers is how many of its numbers come with an account.
const accountNumbers = 100

// GetAccount implements AccountService.
func (s *Service) GetAccount(ctx context.Context, req *wabastreamv1.GetAccountRequest) (*wabastreamv1.GetAccountResponse, error) {
	a, err := s.answerTo(ctx, req.GetAtLeastCursor())
	if err != nil {
		return nil, err
	}
	defer a.close()
	waba := req.GetWabaId()
	if err := a.named("waba_id", waba); err != nil {
		return nil, err
	}
	account, err := a.readAccount(waba)
	if err != nil {
		return nil, s.failed(err)
	}
	if account == nil {
		return nil, accountNotFound(waba)
	}
	page := numberPage{answer: a, size: accountNumbers}
	if err := page.scan([]keyRange{under(key(numberKind, waba))}, nil); err != nil {
		return nil, s.failed(err)
	}
	return &wabastreamv1.GetAccountResponse{
		Account: account, PhoneNumbers: page.numbers, MorePhoneNumbers: page.more, Cursor: a.cursor(),
	}, nil
}
