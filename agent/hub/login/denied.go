package login

import (
	"fmt"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrNoSession means that nobody is signed in. Its status is 401.
var ErrNoSession error = httpx.Fail(http.StatusUnauthorized, "you are not signed in")

// Reason is why somebody whom the provider identified may not enter.
type Reason string

// The reasons of a Denied.
const (
	NoName          Reason = "no-name"          // the provider sent no usable claim
	NameMismatch    Reason = "name-mismatch"    // the claim does not match the pattern or yields no Unix name
	UnverifiedEmail Reason = "unverified-email" // the provider has not verified the address
	Blocked         Reason = "blocked"          // on the list of blocked users
	NoAccount       Reason = "no-account"       // no such Unix account
	NotInGroup      Reason = "not-in-group"     // there are groups whose members may enter, but none of this person's
	NotListed       Reason = "not-listed"       // only listed users may enter
	SystemAccount   Reason = "system-account"   // all people may enter, but this account is no person's
	NoRule          Reason = "no-rule"          // no rule is set, so nobody may enter
	Revoked         Reason = "revoked"          // the provider ended the session
	OtherAccount    Reason = "other-account"    // the name belongs to another account of the provider
	OtherName       Reason = "other-name"       // this account has signed in under another name
)

// Denied is the error for somebody who signed in at the provider but may not enter, or no longer. To
// httpx it is a 403 with a text for that person.
type Denied struct {
	Reason Reason
	User   ident.User // zero when the claims yield no Unix name
	Name   string     // the name that the provider sent; "" for none
	Detail string     // the groups, the claim or the pattern in question, for people

	expired bool // of Revoked: the session came to its own end, as was foretold
}

func (d *Denied) Error() string { return d.public() }

// Unwrap returns the httpx.Error for the person.
func (d *Denied) Unwrap() error {
	return &httpx.Error{Status: http.StatusForbidden, Public: d.public(), Hint: d.hint()}
}

func (d *Denied) who() string {
	if d.User.IsZero() {
		return fmt.Sprintf("%.80q", d.Name)
	}
	return d.User.String()
}

func (d *Denied) public() string {
	switch d.Reason {
	case NoName:
		return fmt.Sprintf("the sign-in server did not say who you are: the claim %q is missing", d.Detail)
	case NameMismatch:
		return fmt.Sprintf("%s is not a name that this hub accepts", d.who())
	case UnverifiedEmail:
		return fmt.Sprintf("the sign-in server has not verified the e-mail address %s", d.who())
	case Blocked:
		return fmt.Sprintf("%s is blocked on this hub", d.who())
	case NoAccount:
		return fmt.Sprintf("%s has no account on this machine", d.who())
	case NotInGroup:
		return fmt.Sprintf("%s is in no group that may use this hub (%s)", d.who(), d.Detail)
	case NotListed:
		return fmt.Sprintf("%s is not among the people who may use this hub", d.who())
	case SystemAccount:
		return fmt.Sprintf("%s is a system account of this machine, and no person's", d.who())
	case NoRule:
		return "nobody may use this hub yet: no rule says who may enter"
	case Revoked:
		return fmt.Sprintf("the sign-in server ended the session of %s", d.who())
	case OtherAccount:
		return fmt.Sprintf("the name %s belongs to another account of the sign-in server: the one that signed in here "+
			"first", d.who())
	case OtherName:
		return fmt.Sprintf("this account of the sign-in server belongs to %s here, so it cannot be %s as well",
			d.Detail, d.who())
	}
	return fmt.Sprintf("%s may not use this hub", d.who())
}

func (d *Denied) hint() string {
	switch d.Reason {
	case UnverifiedEmail:
		return "verify the address there, then sign in again"
	case NameMismatch:
		return "sign in with the account of your institute, or ask the administrators of this hub"
	case NoAccount:
		return "ask the administrators of this machine for an account of that name"
	case NoRule:
		return "administrators: set allowed users or groups and run gifford-hub check"
	case Revoked:
		return "sign in again"
	case OtherAccount:
		return "ask the administrators of this machine; if it is the same person, root runs: gifford-hub identities " +
			"forget " + d.User.String()
	case OtherName:
		return "ask the administrators of this machine; if the person was renamed, root runs: gifford-hub identities " +
			"forget " + d.Detail
	}
	return "ask the administrators of this hub"
}
