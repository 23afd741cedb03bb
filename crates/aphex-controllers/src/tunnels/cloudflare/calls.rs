//! The requests that are made to Cloudflare, by name.

use std::fmt;

/// One of the API's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GET /user/tokens/verify`
    VerifyToken,
    /// `GET /accounts/{account}/tokens/verify`
    VerifyAccountToken,
    /// `GET /accounts`
    ListAccounts,
    /// `GET /zones`
    ListZones,
    /// `GET /zones/{zone}`
    GetZone,
    /// `GET /accounts/{account}/cfd_tunnel`
    ListTunnels,
    /// `POST /accounts/{account}/cfd_tunnel`
    CreateTunnel,
    /// `GET /accounts/{account}/cfd_tunnel/{tunnel}`
    GetTunnel,
    /// `GET /accounts/{account}/cfd_tunnel/{tunnel}/token`
    GetTunnelToken,
    /// `DELETE /accounts/{account}/cfd_tunnel/{tunnel}/connections`
    EndConnections,
    /// `DELETE /accounts/{account}/cfd_tunnel/{tunnel}`
    DeleteTunnel,
    /// `GET /zones/{zone}/dns_records`
    ListRecords,
    /// `POST /zones/{zone}/dns_records`
    CreateRecord,
    /// `PATCH /zones/{zone}/dns_records/{record}`
    UpdateRecord,
    /// `DELETE /zones/{zone}/dns_records/{record}`
    DeleteRecord,
}

impl Call {
    /// The operation in one word, for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyToken => "verify_token",
            Self::VerifyAccountToken => "verify_account_token",
            Self::ListAccounts => "list_accounts",
            Self::ListZones => "list_zones",
            Self::GetZone => "get_zone",
            Self::ListTunnels => "list_tunnels",
            Self::CreateTunnel => "create_tunnel",
            Self::GetTunnel => "get_tunnel",
            Self::GetTunnelToken => "get_tunnel_token",
            Self::EndConnections => "end_connections",
            Self::DeleteTunnel => "delete_tunnel",
            Self::ListRecords => "list_records",
            Self::CreateRecord => "create_record",
            Self::UpdateRecord => "update_record",
            Self::DeleteRecord => "delete_record",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VerifyToken | Self::VerifyAccountToken => "verify the API token",
            Self::ListAccounts => "list accounts",
            Self::ListZones => "list zones",
            Self::GetZone => "get the zone",
            Self::ListTunnels => "list tunnels",
            Self::CreateTunnel => "create the tunnel",
            Self::GetTunnel => "get the tunnel",
            Self::GetTunnelToken => "give the tunnel's credentials",
            Self::EndConnections => "end the tunnel's connections",
            Self::DeleteTunnel => "delete the tunnel",
            Self::ListRecords => "list DNS records",
            Self::CreateRecord => "create the DNS record",
            Self::UpdateRecord => "change the DNS record",
            Self::DeleteRecord => "delete the DNS record",
        })
    }
}
