package gateway

import (
	"crypto/rand"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// accounts are the users that versitygw knows: root, as whom Handler signs, and those that the operator has configured. All of them may do
// everything, and every bucket belongs to root, so that buckets outlive a change of credentials.
type accounts struct {
	root       auth.Account
	configured map[string]string
}

var (
	_ auth.IAMService       = (*accounts)(nil)
	_ auth.FixedBucketOwner = (*accounts)(nil)
)

func newAccounts(configured map[string]string) *accounts {
	root := auth.Account{Access: rootUser, Secret: rand.Text() + rand.Text(), Role: auth.RoleAdmin}
	return &accounts{root: root, configured: configured}
}

func (a *accounts) BucketOwner() auth.Account { return a.root }

func (a *accounts) GetUserAccount(access string) (auth.Account, error) {
	secret, ok := a.configured[access]
	switch {
	case ok:
		return auth.Account{Access: access, Secret: secret, Role: auth.RoleAdmin}, nil
	case access == a.root.Access:
		return a.root, nil
	}
	return auth.Account{}, auth.ErrNoSuchUser
}

func (a *accounts) ResolveAccounts(keys []string) (missing []string, err error) {
	for _, key := range keys {
		if _, err := a.GetUserAccount(key); err != nil {
			missing = append(missing, key)
		}
	}
	return missing, nil
}

// Accounts come from the configuration and cannot be changed through the API.

func (a *accounts) CreateAccount(auth.Account) error { return errReadOnly() }

func (a *accounts) UpdateUserAccount(string, auth.MutableProps) error { return errReadOnly() }

func (a *accounts) DeleteUserAccount(string) error { return errReadOnly() }

func (a *accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errReadOnly() }

func (a *accounts) Shutdown() error { return nil }

func errReadOnly() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }
