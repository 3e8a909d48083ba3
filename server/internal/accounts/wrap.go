package accounts

import wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"

// Which value of an account or a number a change is of.

func ofExistence(v *wabastreamv1.AccountExistence) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Existence{Existence: v}}
}

func ofBan(v *wabastreamv1.AccountBan) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Ban{Ban: v}}
}

func ofViolation(v *wabastreamv1.AccountViolation) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Violation{Violation: v}}
}

func ofRestriction(v *wabastreamv1.AccountRestriction) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Restriction{Restriction: v}}
}

func ofReview(v *wabastreamv1.AccountReview) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Review{Review: v}}
}

func ofPartner(v *wabastreamv1.AccountPartner) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Partner{Partner: v}}
}

func ofTerms(v *wabastreamv1.AccountTerms) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_MmLiteTerms{MmLiteTerms: v}}
}

func ofPresence(v *wabastreamv1.PhoneNumberPresence) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Presence{Presence: v}}
}

func ofVerifiedName(v *wabastreamv1.VerifiedName) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_VerifiedName{VerifiedName: v}}
}

func ofNameReview(v *wabastreamv1.NameReview) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_NameReview{NameReview: v}}
}

func ofQuality(v *wabastreamv1.NumberQuality) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Quality{Quality: v}}
}

func ofLimit(v *wabastreamv1.NumberLimit) *wabastreamv1.AccountValue {
	return &wabastreamv1.AccountValue{Value: &wabastreamv1.AccountValue_Limit{Limit: v}}
}

// originOf is where a value of a change comes from.
func originOf(v *wabastreamv1.AccountValue) *wabastreamv1.Provenance {
	switch v := v.GetValue().(type) {
	case *wabastreamv1.AccountValue_Existence:
		return v.Existence.GetOrigin()
	case *wabastreamv1.AccountValue_Ban:
		return v.Ban.GetOrigin()
	case *wabastreamv1.AccountValue_Violation:
		return v.Violation.GetOrigin()
	case *wabastreamv1.AccountValue_Restriction:
		return v.Restriction.GetOrigin()
	case *wabastreamv1.AccountValue_Review:
		return v.Review.GetOrigin()
	case *wabastreamv1.AccountValue_Partner:
		return v.Partner.GetOrigin()
	case *wabastreamv1.AccountValue_MmLiteTerms:
		return v.MmLiteTerms.GetOrigin()
	case *wabastreamv1.AccountValue_Presence:
		return v.Presence.GetOrigin()
	case *wabastreamv1.AccountValue_VerifiedName:
		return v.VerifiedName.GetOrigin()
	case *wabastreamv1.AccountValue_NameReview:
		return v.NameReview.GetOrigin()
	case *wabastreamv1.AccountValue_Quality:
		return v.Quality.GetOrigin()
	case *wabastreamv1.AccountValue_Limit:
		return v.Limit.GetOrigin()
	}
	return nil
}
