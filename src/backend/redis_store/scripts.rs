//! What must happen in one step, as Lua. Each script touches one slot; times
//! are milliseconds and come from the caller, and the TTLs only save space.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// A script of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Insert,
    Replace,
    Touch,
    Remove,
    Claim,
    Release,
    PutOnce,
    Take,
    AddToIndex,
    DropFromIndex,
}

impl Step {
    pub(super) const ALL: [Self; 10] = [
        Self::Insert,
        Self::Replace,
        Self::Touch,
        Self::Remove,
        Self::Claim,
        Self::Release,
        Self::PutOnce,
        Self::Take,
        Self::AddToIndex,
        Self::DropFromIndex,
    ];

    fn script(self) -> &'static Script {
        static SCRIPTS: LazyLock<[Script; 10]> = LazyLock::new(|| Step::ALL.map(|step| Script::new(step.code())));
        let [insert, replace, touch, remove, claim, release, put_once, take, add, drop] = &*SCRIPTS;
        match self {
            Self::Insert => insert,
            Self::Replace => replace,
            Self::Touch => touch,
            Self::Remove => remove,
            Self::Claim => claim,
            Self::Release => release,
            Self::PutOnce => put_once,
            Self::Take => take,
            Self::AddToIndex => add,
            Self::DropFromIndex => drop,
        }
    }

    /// The command that runs it when Redis knows it.
    pub(super) fn by_hash(self, keys: &[&str]) -> Cmd {
        Self::call("EVALSHA", self.script().get_hash(), keys)
    }

    /// The command that runs it in any case.
    pub(super) fn by_code(self, keys: &[&str]) -> Cmd {
        Self::call("EVAL", self.code(), keys)
    }

    /// The command that lets Redis know it.
    pub(super) fn load(self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code());
        command
    }

    fn call(name: &str, script: &str, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys);
        command
    }

    const fn code(self) -> &'static str {
        match self {
            // now, ttl, sealed, card, version, idle_until, ends_at, subject, sid
            Self::Insert => {
                "local old = redis.call('HMGET', KEYS[1], 'i', 'e')
local now = tonumber(ARGV[1])
if old[1] and now < tonumber(old[1]) and now < tonumber(old[2]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'd', ARGV[3], 'c', ARGV[4], 'v', ARGV[5], 'i', ARGV[6], 'e', ARGV[7], 's', ARGV[8])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'p', ARGV[9]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1"
            }
            // The same, and the version seen.
            Self::Replace => {
                "local old = redis.call('HMGET', KEYS[1], 'i', 'e', 'v')
local now = tonumber(ARGV[1])
if not old[1] or old[3] ~= ARGV[10] then return 0 end
if now >= tonumber(old[1]) or now >= tonumber(old[2]) then return 0 end
redis.call('HSET', KEYS[1], 'd', ARGV[3], 'c', ARGV[4], 'v', ARGV[5], 'i', ARGV[6], 'e', ARGV[7], 's', ARGV[8])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'p', ARGV[9]) else redis.call('HDEL', KEYS[1], 'p') end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1"
            }
            // now, idle_until, slack of the ttl
            Self::Touch => {
                "local old = redis.call('HMGET', KEYS[1], 'i', 'e')
local now = tonumber(ARGV[1])
if not old[1] or now >= tonumber(old[1]) or now >= tonumber(old[2]) then return false end
local idle = math.min(tonumber(ARGV[2]), tonumber(old[2]))
if idle <= tonumber(old[1]) then return false end
local text = string.format('%.0f', idle)
redis.call('HSET', KEYS[1], 'i', text)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', idle - now + tonumber(ARGV[3])))
return text"
            }
            // now
            Self::Remove => {
                "local old = redis.call('HMGET', KEYS[1], 'i', 'e', 's', 'p')
redis.call('DEL', KEYS[1], KEYS[2])
if not old[1] then return false end
local now = tonumber(ARGV[1])
local live = 0
if now < tonumber(old[1]) and now < tonumber(old[2]) then live = 1 end
return {live, old[3], old[4] or ''}"
            }
            // now, ttl, lease, until
            Self::Claim => {
                "local held = redis.call('HMGET', KEYS[1], 'l', 'u')
if held[1] and held[1] ~= ARGV[3] and tonumber(held[2]) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'l', ARGV[3], 'u', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1"
            }
            // lease
            Self::Release => {
                "if redis.call('HGET', KEYS[1], 'l') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1"
            }
            // now, ttl, expires, value
            Self::PutOnce => {
                "local old = redis.call('HGET', KEYS[1], 'e')
if old and tonumber(old) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'd', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1"
            }
            Self::Take => {
                "local old = redis.call('HMGET', KEYS[1], 'e', 'd')
if not old[1] then return false end
redis.call('DEL', KEYS[1])
return old"
            }
            // member, score, ttl
            Self::AddToIndex => {
                "redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1"
            }
            // A score, and members that go unless they were added later than that.
            Self::DropFromIndex => {
                "for n = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[n])
  if score and tonumber(score) <= tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[n]) end
end
return 1"
            }
        }
    }
}
