package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// PrepareImageAccount assigns subordinate ids to the image keeper's account, once, from the range of the members'.
// gifford-images.service runs it as root before the image keeper.
func PrepareImageAccount(config string) error {
	rules, err := NewPolicyFile(config).Read()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return prepareImageAccount(ctx, accounts.Directory{}, rules.SubIDs, "/etc", contract.StateDir)
}

func prepareImageAccount(ctx context.Context, names directory, rules policy.SubIDs, etcDir, stateDir string) error {
	account, err := imageAccount(ctx, names)
	if err != nil {
		return err
	}
	// The launcher's own service makes it too, but may not have run yet.
	if err := os.MkdirAll(stateDir, passage); err != nil {
		return err
	}
	etc, err := os.OpenRoot(etcDir)
	if err != nil {
		return err
	}
	defer etc.Close()
	state, err := os.OpenRoot(stateDir)
	if err != nil {
		return err
	}
	defer state.Close()
	return errors.Join(state.Chmod(".", passage), subIDs{etc: etc, state: state}.ensure(ctx, account, rules))
}

// imageAccount returns the image keeper's account.
func imageAccount(ctx context.Context, names directory) (accounts.Account, error) {
	name, err := ident.ParseUser(imagestore.Account)
	if err != nil {
		return accounts.Account{}, err
	}
	account, err := names.Lookup(ctx, name)
	if err != nil {
		return accounts.Account{}, hint.With(fmt.Errorf("cannot find the image keeper's account: %w", err),
			"systemd-sysusers")
	}
	return account, nil
}
