/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

const coat_command coat_commands[] = {
    {"serve", "", "Run the daemon", "", "Stops on SIGTERM and SIGINT, reloads on SIGHUP.\n",
     coat_cmd_serve},
    {"gateway", "", "Put sign-in in front of an application",
     "--upstream=URL|--listen=ADDRESS|--tls-cert=FILE|--tls-key=FILE|--redirect=ADDRESS|"
     "--protect=RULE|--optional|--no-csrf|--assertion|--max-body=SIZE|--access-log=FILE|"
     "--upstream-ca=FILE|--user=NAME|--nginx=FILE|--module=FILE|--print",
     "Runs nginx and the daemon: coatcheck gateway --upstream http://127.0.0.1:3000\n"
     "--listen, --redirect and --protect may be repeated. Listens on 127.0.0.1:8080; with\n"
     "--tls-cert and --tls-key on 0.0.0.0:443. --protect /admin:role=admin,max-age=5m asks\n"
     "for more where paths begin so. --print shows nginx's configuration and starts nothing.\n",
     coat_cmd_gateway},
    {"user add", "NAME", "Add an account", "--role=ROLE|--password-stdin",
     "Asks for the password on the terminal, or reads a line of standard input. --role may be\n"
     "repeated.\n",
     coat_cmd_user_add},
    {"user list", "", "List all accounts", "", NULL, coat_cmd_user_list},
    {"user show", "NAME", "Show one account", "", NULL, coat_cmd_user_show},
    {"user passwd", "NAME", "Set a password", "--password-stdin|--keep-sessions",
     "Ends all sessions of the user unless --keep-sessions.\n", coat_cmd_user_passwd},
    {"user roles", "NAME", "Set the roles of an account", "--role=ROLE",
     "Replaces all roles; without --role there are none. Ends the sessions of the user, "
     "because\n"
     "they carry the former roles.\n",
     coat_cmd_user_roles},
    {"user disable", "NAME", "Refuse sign-ins to an account and end its sessions", "", NULL,
     coat_cmd_user_disable},
    {"user enable", "NAME", "Allow sign-ins again and forget failed ones", "", NULL,
     coat_cmd_user_enable},
    {"user delete", "NAME", "Delete an account and end its sessions", "", NULL,
     coat_cmd_user_delete},
    {"user import", "FILE", "Add accounts with hashes from elsewhere", "--role=ROLE|--dry-run",
     "FILE has a line NAME:HASH for each account, as htpasswd(1) writes it; '-' is standard\n"
     "input. Hashes: bcrypt, crypt(3), Argon2, scrypt, PBKDF2; a sign-in replaces them.\n"
     "Accounts that exist are left alone.\n",
     coat_cmd_user_import},
    {"session list", "", "List sessions", "--user=NAME", NULL, coat_cmd_session_list},
    {"session show", "HANDLE", "Show one session", "", NULL, coat_cmd_session_show},
    {"session end", "HANDLE", "End one session", "", NULL, coat_cmd_session_end},
    {"session end-all", "", "End all sessions of a user, or of everybody", "--user=NAME|--yes",
     NULL, coat_cmd_session_end_all},
    {"config check", "", "Check the configuration", "", NULL, coat_cmd_config_check},
    {"config show", "", "Show the configuration in force, and where each value comes from", "",
     NULL, coat_cmd_config_show},
    {"keys rotate", "", "Make a new key of the installation", "",
     "Nobody is signed out: the former key stays valid until the next rotation.\n",
     coat_cmd_keys_rotate},
    {"store copy", "", "Move everything to another store, while serving",
     "--to=URL|--from=URL|--sessions-only|--accounts|--cancel",
     "The daemon copies its store and keeps the copy in step; then set store.url and restart\n"
     "it. Where no daemon runs, all of it is done at once. --from is the store, if store.url\n"
     "names the target already. Nobody is signed out; what was cut off can be begun again.\n"
     "--sessions-only leaves accounts where they are: accounts.url must name them.\n"
     "--accounts moves those only, out of accounts.url and while no daemon runs.\n"
     "--cancel gives a copy up that is not finished: the target is emptied, and can be used "
     "for\n"
     "anything; the store in use stays so.\n",
     coat_cmd_store_copy},
    {"store migrate", "", "Bring the tables of a PostgreSQL store to this version", "--url=URL",
     "Makes them, the first time. --url is the store as a role that may do so, if that of\n"
     "store.url may not. What holds locks does so for less than a second; daemons of the\n"
     "former version go on until they are restarted.\n",
     coat_cmd_store_migrate},
    {"reload", "", "Read the configuration again", "", NULL, coat_cmd_reload},
    {"status", "", "Show the state of the daemon and its store", "", NULL, coat_cmd_status},
    {"bench", "", "Measure this machine for a few seconds", "",
     "Works on a store of its own in data.directory, and removes it.\n", coat_cmd_bench},
    {"completion", "", "Print a completion script for bash", "", NULL, coat_cmd_completion},
    {"version", "", "Show the version", "", NULL, coat_cmd_version},
};
const size_t coat_commands_count = sizeof coat_commands / sizeof coat_commands[0];
