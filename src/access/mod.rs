//! Access: accounts, roles and passwords. Never shows a message.
